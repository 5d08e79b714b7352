import { orpoSettings } from "../../settings/orpo.ts";
import { command } from "../command.ts";
import { runTraining } from "./run_training.ts";

export const trainOrpo = command({
  section: "orpo",
  stops: true,
  dryRun: true,
  examples: [
    "whet train orpo -m ./model -d pairs.jsonl -o ./run",
    "whet train orpo -m ./model -d pairs.jsonl --val val.jsonl -o ./run --lambda 0.2 --lr 8e-6",
    "whet train orpo -m ./model -d pairs.jsonl -o ./run --dry-run",
  ],
  details:
    "Rows are those of whet train dpo. The chosen sequence is trained as whet train sft --loss-on all does, and " +
    "its odds are made larger than those of the rejected one (Hong et al. 2024): one training instead of two, " +
    "without a reference.\n\nAll else, from validation to resuming, is as with whet train sft.",
  settings: orpoSettings,
  async run(settings, io) {
    const { prepareRun } = await import("./prepared.ts");
    await runTraining(settings, prepareRun, io);
  },
});
