import { simpoSettings } from "../../settings/simpo.ts";
import { command } from "../command.ts";
import { runTraining } from "./run_training.ts";

export const trainSimpo = command({
  section: "simpo",
  stops: true,
  dryRun: true,
  examples: [
    "whet train simpo -m ./model -d pairs.jsonl -o ./run",
    "whet train simpo -m ./model -d pairs.jsonl --val val.jsonl -o ./run --beta 2.5 --gamma 1.4",
    "whet train simpo -m ./model -d pairs.jsonl -o ./run --cpo-alpha 1",
  ],
  details:
    "Rows are those of whet train dpo. An answer's reward is its mean log-probability by the token, and the " +
    "chosen one's should be larger by a margin (Meng et al. 2024). There is no reference, so that a step costs " +
    "less.\n\nAll else, from validation to resuming, is as with whet train sft.",
  settings: simpoSettings,
  async run(settings, io) {
    const { prepareRun } = await import("./prepared.ts");
    await runTraining(settings, prepareRun, io);
  },
});
