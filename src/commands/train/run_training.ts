import { Exit, Fail } from "../../base/fail.ts";
import type { CommonSettings } from "../../settings/common.ts";
import type { PreferenceSettings } from "./objectives.ts";
import type { TrainEmbedSettings } from "../../settings/embed.ts";
import type { TrainSettings } from "../../settings/train.ts";
import type { Io } from "../io.ts";
import { requireFit } from "./memory_told.ts";
import { tellPlan } from "./plan.ts";
import type { PreparedRun } from "./prepared.ts";

type AnyTrainSettings = TrainSettings | PreferenceSettings | TrainEmbedSettings;

/**
 * What every `whet train` does: prepares the run, and trains it or with --dry-run says what it would need.
 * @param prepare opens the model and the rows of this kind of training
 * @throws Fail (usage) (data) (gpu) (memory) (diverged) (disk)
 */
export async function runTraining<S extends AnyTrainSettings & CommonSettings>(
  settings: S,
  prepare: (settings: S, io: Io) => Promise<PreparedRun>,
  io: Io,
): Promise<void> {
  if (settings.output === undefined && !settings.dry_run) {
    throw new Fail("missing: --output", {
      why: "output: the run folder for adapter, checkpoints, metrics and report",
      fix: "add -o DIR",
      code: "WH0207",
      exit: Exit.usage,
    });
  }
  const run = await prepare(settings, io);
  if (settings.dry_run) {
    tellPlan(run, settings, io);
    return requireFit(run, settings);
  }
  const { train } = await import("./training.ts");
  await train({ ...settings, output: settings.output! }, run, io);
}
