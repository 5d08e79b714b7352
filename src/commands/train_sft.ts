import { Exit, Fail } from "../base/fail.ts";
import { trainSettings } from "../settings/train.ts";
import { command } from "./command.ts";
import { requireFit } from "./memory_told.ts";
import { tellPlan } from "./plan.ts";

export const trainSft = command({
  section: "train",
  stops: true,
  dryRun: true,
  examples: [
    "whet train sft -m ./model -d rows.jsonl -o ./run",
    "whet train sft -m ./model -d rows.jsonl --val val.jsonl -o ./run --epochs 3 --patience 2",
    "whet train sft -m ./model -d rows.jsonl -o ./run --resume",
    "whet train sft -m ./model -d rows.jsonl -o ./run --dry-run",
    "whet train --config ./run/run.json -o ./again    # the same run, to the same bytes",
  ],
  details:
    'A row is one JSON object a line: {"prompt":"...","completion":"..."}, {"messages":[...]}, ' +
    '{"instruction":"...","output":"..."}, {"text":"..."} or {"input_ids":[...],"labels":[...]}. Only ' +
    "answers are trained, and the token that ends them.\n\nCtrl-C once finishes the step and writes a " +
    "checkpoint; --resume goes on from it as if nothing had stopped. The run folder holds the adapter in " +
    "PEFT format, checkpoints, metrics.jsonl, report.html and a model card.",
  settings: trainSettings,
  async run(settings, io) {
    const { prepareRun } = await import("./prepared.ts");
    if (settings.output === undefined && !settings.dry_run) {
      throw new Fail("missing: --output", {
        why: "output: the run folder for adapter, checkpoints, metrics and report",
        fix: "add -o DIR",
        code: "WH0207",
        exit: Exit.usage,
      });
    }
    const run = await prepareRun(settings, io);
    if (settings.dry_run) {
      tellPlan(run, settings, io);
      return requireFit(run, settings);
    }
    const { train } = await import("./training.ts");
    await train({ ...settings, output: settings.output! }, run, io);
  },
});
