import { Exit, Fail } from "../../base/fail.ts";
import { humanBytes, thousands } from "../../base/text.ts";
import { availableMemory } from "../../gpu/available.ts";
import type { Device, Tuned } from "../../gpu/device.ts";
import type { CommonSettings } from "../../settings/common.ts";
import { start } from "../../trainer/loop.ts";
import { again, halved, type Prepared } from "../../trainer/prepare.ts";
import type { Trainer } from "../../trainer/trainer.ts";
import { chooseKernels } from "../../trainer/tuning.ts";
import { openDevice } from "../machine/gpu.ts";
import type { Io } from "../io.ts";
import type { PreparedRun, RunSettings } from "./prepared.ts";
import { loading } from "../progress.ts";
import { told } from "./room.ts";

/** A run on a device. */
export interface Begun {
  readonly device: Device;
  readonly trainer: Trainer;
  /** As it is really computed: smaller than it was prepared where the device had less memory. */
  readonly run: PreparedRun;
  /** What its kinds of work are computed with. */
  readonly kernels: Tuned;
}

/**
 * Opens the device and brings the run onto it. Where the device has less memory than it was planned for,
 * once more with half the micro-batch: the same rows in a step, and the same mathematics.
 * @param shared a device that is open already, and stays open
 * @param pinned the kernels that the run was begun with
 * @throws Fail (gpu) (memory)
 */
export async function begin(
  settings: RunSettings & Pick<CommonSettings, "device" | "backend">,
  prepared: PreparedRun,
  io: Io,
  shared?: Device,
  pinned?: Tuned,
): Promise<Begun> {
  let run = prepared;
  const device = shared ?? await openDevice(settings, run.prepared.plan.parameters, io);
  try {
    if (device.capabilities.software) requireRoom(run.prepared);
    const attempt = async () => {
      const { kernels, missing } = await chooseKernels(device, run.prepared, pinned, (done, of) => {
        io.progress(`measuring kernels: ${done} of ${of}`);
      });
      if (missing.length > 0) {
        io.warn(
          "WH0218",
          `the run was begun with kernels that this device lacks: ${missing.join("; ")}`,
          "resume on the device it was begun on, for the same bytes",
        );
      }
      const trainer = await start(device, run.prepared, loading(io));
      io.progress();
      return { device, trainer, run, kernels };
    };
    try {
      return await attempt();
    } catch (error) {
      io.progress();
      const less = error instanceof Fail && error.exit === Exit.memory && smaller(run, device);
      if (!less) throw error;
      run = { ...run, prepared: less };
      const { tokens } = less.recipe.size;
      io.warn(
        "WH0501",
        `${error.message}: going on with micro-batches of ${
          thousands(tokens)
        } token places, planned for ` +
          `${humanBytes(less.plan.bytes.total)}; a step still sees the same rows`,
        `--micro-tokens ${tokens} begins like this`,
      );
      return await attempt();
    }
  } catch (error) {
    if (!shared) device.close();
    throw error;
  }
}

/**
 * The run with half the micro-batch, or where the longest row allows none with more blocks computed again,
 * fitted to what the device gave before it refused; undefined where nothing is smaller.
 */
function smaller({ prepared }: PreparedRun, device: Device): Prepared | undefined {
  const half = halved(prepared);
  const change = half === undefined ? {} : { micro_tokens: half };
  const less = again(prepared, change, Math.min(prepared.budget, device.peakBytes));
  return less.plan.bytes.total < prepared.plan.bytes.total ? less : undefined;
}

/**
 * A software adapter grants whatever is asked for, and the system ends the process later.
 * @throws Fail (memory) when the processor's memory is too small
 */
function requireRoom({ plan }: Prepared) {
  const found = availableMemory("software"), { total } = plan.bytes;
  if (total <= found.free) return;
  throw new Fail(`this run needs ${humanBytes(total)} of memory on the processor`, {
    why: `there are ${told(found)}`,
    fix: "leave --target-mem out, or name less: whet plan says what would fit",
    exit: Exit.memory,
  });
}
