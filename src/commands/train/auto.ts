import { trainAutoSettings } from "../../settings/train_auto.ts";
import { command } from "../command.ts";
import { troubleTable, withTrouble } from "./troubles.ts";

export const trainAuto = command({
  section: "train_auto",
  stops: true,
  dryRun: true,
  examples: [
    "whet train auto -m ./SmolLM-135M --from phoenix --project cogniverse-tenant1 --agent routing",
    "whet train auto -m ./SmolLM-135M --from spans.json --agent routing --json",
    "whet train auto -m ./SmolLM-135M --from spans.json --agent routing --teacher openai:gpt-5-mini",
    "whet train auto -m ./bge-small --from phoenix --project search --model-type embedding --modality text",
    "whet train auto -m ./SmolLM-135M --from pairs.jsonl,rows.jsonl -o ./run --dry-run",
  ],
  details:
    "Makes rows of what people approved and rejected, as whet data from-phoenix does, chooses the training " +
    "as whet data select does, and trains with the settings of whet train sft, dpo or embed. More than 100 " +
    "rows are split, nine in ten to train; result.json in the run folder says what came of it.\n\n" +
    "Where there are too few rows, --teacher has more written. They wait for whet data review, and exit 10 " +
    "says so; the same command goes on once a person has decided.\n\n" + troubleTable(),
  settings: trainAutoSettings,
  async run(settings, io) {
    const { automatic } = await import("./automatic.ts");
    try {
      await automatic(settings, io);
    } catch (error) {
      throw withTrouble(error);
    }
  },
});
