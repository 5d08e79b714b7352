import { dpoSettings } from "../../settings/dpo.ts";
import { command } from "../command.ts";
import { runTraining } from "./run_training.ts";

export const trainDpo = command({
  section: "dpo",
  stops: true,
  dryRun: true,
  examples: [
    "whet train dpo -m ./model -d pairs.jsonl -o ./run",
    "whet train dpo -m ./model -d pairs.jsonl --val val.jsonl -o ./run --loss-type apo_zero",
    "whet train dpo -m ./model -d pairs.jsonl -o ./run --init-adapter ./sft-run --reference sft",
    "whet train dpo -m ./model -d pairs.jsonl -o ./run --resume",
    "whet train dpo -m ./model -d pairs.jsonl -o ./run --dry-run",
  ],
  details:
    'A row is one JSON object a line: {"prompt":"...","chosen":"...","rejected":"..."}, the same with lists ' +
    'of messages, or {"prompt_ids":[...],"chosen_ids":[...],"rejected_ids":[...]}. The model learns to give ' +
    "the chosen answer rather than the other, without going far from the reference: by default itself " +
    "without the adapter, so that no second model is held.\n\nThe learning rate is lower than for whet " +
    "train sft, and one epoch is usual. All else, from validation to resuming, is as there.",
  settings: dpoSettings,
  async run(settings, io) {
    const { prepareRun } = await import("./prepared.ts");
    await runTraining(settings, prepareRun, io);
  },
});
