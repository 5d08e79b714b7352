import { Exit, Fail } from "../../base/fail.ts";
import type { CommonSettings } from "../../settings/common.ts";
import { start } from "../../trainer/loop.ts";
import { openDevice } from "../machine/gpu.ts";
import type { Io } from "../io.ts";
import { requireFit } from "./memory_told.ts";
import type { PreparedRun, RunSettings } from "./prepared.ts";
import { loading } from "../progress.ts";

/** What three real steps took. */
export interface Probed {
  readonly seconds_per_step: number;
  readonly tokens_per_second: number;
  /** Of the whole run; null where the number of steps is not known. */
  readonly seconds: number | null;
  readonly allocated_bytes: number;
  readonly device: string;
  /** Kernels of which one dispatch took longer than it should, milliseconds. */
  readonly slow_kernels: Readonly<Record<string, number>>;
}

/** Steps that are measured, after one that is not: the first also warms the device up. */
const STEPS = 3;

/**
 * Loads the model and takes a few real steps; nothing is written.
 * @throws Fail (memory) where the run does not fit
 */
export async function probe(
  run: PreparedRun,
  settings: RunSettings & Pick<CommonSettings, "device" | "backend">,
  io: Io,
): Promise<Probed> {
  requireFit(run, settings);
  const { prepared, data } = run;
  const { batches } = prepared;
  const device = await openDevice(settings, prepared.plan.parameters, io);
  try {
    const trainer = await start(device, prepared, loading(io));
    io.progress();
    let milliseconds = 0, tokens = 0;
    for (let i = 0; i <= STEPS; i++) {
      io.progress(`probing: step ${i} of ${STEPS}`);
      const step = await trainer.next();
      if (!Number.isFinite(step.loss)) {
        throw new Fail(`the loss of step ${step.step} is ${step.loss}`, {
          why: "weights or arithmetic hold numbers that are not finite",
          fix: "whet doctor --numerics compares the kernels of this device with float64",
          exit: Exit.diverged,
        });
      }
      if (i > 0) [milliseconds, tokens] = [milliseconds + step.milliseconds, tokens + step.tokens];
    }
    io.progress();
    const seconds = milliseconds / 1000 / STEPS;
    return {
      seconds_per_step: seconds,
      tokens_per_second: tokens / (milliseconds / 1000),
      seconds: data ? seconds * batches.steps : null,
      allocated_bytes: device.bytes,
      device: device.capabilities.adapter,
      slow_kernels: Object.fromEntries(device.slow),
    };
  } finally {
    device.close();
  }
}
