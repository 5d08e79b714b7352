import { choicesOf, tune } from "../../kernels/tune.ts";
import type { Device, Tuned } from "../gpu/device.ts";
import { readTuned, writeTuned } from "../gpu/tuned.ts";
import type { Prepared } from "./prepare.ts";
import { recordReference, recordStep, recordValidation } from "./program.ts";

/** Seconds that measuring may take before a run on hardware. */
const SECONDS = 4;

/** The kernels that a run computes with. */
export interface RunKernels {
  readonly kernels: Tuned;
  /** Pinned kernels that this device does not have: others take their place. */
  readonly missing: readonly string[];
}

/**
 * Chooses the device's kernels for a run: those it was begun with, when it is resumed; else those in the
 * cache, and on hardware the fastest of what the cache does not know, which then goes there. From now on the device
 * takes them. A software adapter measures nothing: its defaults were chosen by measuring.
 * @param pinned kind of work to kernel, as the run was begun
 * @throws Fail (gpu)
 */
export async function chooseKernels(
  device: Device,
  { model, recipe, validation }: Prepared,
  pinned?: Tuned,
  told?: (measured: number, of: number) => void,
): Promise<RunKernels> {
  const nodes = [
    ...recordStep(model, recipe).g.nodes,
    ...(validation.length > 0 ? recordValidation(model, recipe).g.nodes : []),
    ...recordReference(model, recipe)?.g.nodes ?? [],
  ];
  device.useTuned(pinned ?? readTuned(device.capabilities));
  if (!pinned && !device.capabilities.software) {
    const { tuned } = await tune(device, nodes, { seconds: SECONDS, told });
    device.useTuned({ ...device.capabilities.tuned, ...tuned });
  }
  const taken = [...choicesOf(nodes, device.capabilities).values()].map(({ choice }) => choice);
  const kernels = Object.fromEntries(taken.map(({ kind, way }) => [kind, way]));
  // Also what there was no time to measure: the next run must compute with the same kernels.
  if (!pinned && !device.capabilities.software) await writeTuned(device.capabilities, kernels);
  device.useTuned({ ...device.capabilities.tuned, ...kernels });
  const missing = taken.filter(({ kind, way }) =>
    pinned?.[kind] !== undefined && pinned[kind] !== way
  )
    .map(({ kind, way }) => `${kind}: ${way} instead of ${pinned![kind]}`);
  return { kernels, missing };
}
