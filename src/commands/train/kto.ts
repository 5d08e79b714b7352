import { ktoSettings } from "../../settings/kto.ts";
import { command } from "../command.ts";
import { runTraining } from "./run_training.ts";

export const trainKto = command({
  section: "kto",
  stops: true,
  dryRun: true,
  examples: [
    "whet train kto -m ./model -d answers.jsonl -o ./run",
    "whet train kto -m ./model -d answers.jsonl -o ./run --undesirable-weight 1.5",
    "whet train kto -m ./model -d pairs.jsonl -o ./run --loss-type apo_zero_unpaired",
  ],
  details:
    'A row is one JSON object a line: {"prompt":"...","completion":"...","label":true}, where label says whether ' +
    'the answer is wanted; the same with lists of messages, or {"prompt_ids":[...],"completion_ids":[...],' +
    '"label":false}. Pairs as for whet train dpo become two rows each.\n\nThe model learns to give wanted answers ' +
    "and not to give others, by how far it has gone from the reference (Ethayarajh et al. 2024): the distance is " +
    "measured on the prompts of a batch with each other's answers. All else, from validation to resuming, is as " +
    "with whet train dpo.",
  settings: ktoSettings,
  async run(settings, io) {
    const { prepareRun } = await import("./prepared.ts");
    await runTraining(settings, prepareRun, io);
  },
});
