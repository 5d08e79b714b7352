import { trainSettings } from "../../settings/train.ts";
import { command } from "../command.ts";
import { runTraining } from "./run_training.ts";

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
    "answers are trained, and the token that ends them, unless --loss-on says otherwise: the loss of a step is " +
    "the sum of weight x loss over all its trained tokens, divided by the sum of their weights.\n\nCtrl-C once finishes the step and writes a " +
    "checkpoint; --resume goes on from it as if nothing had stopped. The run folder holds the adapter in " +
    "PEFT format, checkpoints, metrics.jsonl, report.html and a model card.",
  settings: trainSettings,
  async run(settings, io) {
    const { prepareRun } = await import("./prepared.ts");
    await runTraining(settings, prepareRun, io);
  },
});
