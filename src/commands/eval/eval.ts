import { evalSettings } from "../../settings/eval.ts";
import { command } from "../command.ts";

export const evaluate = command({
  section: "eval",
  examples: [
    "whet eval -m ./model -a ./run -d test.jsonl",
    "whet eval -m ./model -a ./run -d test.jsonl --baseline --schema schema.yaml --html page.html",
    "whet eval -m ./model -a ./run -d test.jsonl --fail-under exact=.9,json=.99",
    "whet eval -m ./model -a ./run -d test.jsonl --failures wrong.jsonl --adversarial adv.jsonl",
    "whet eval ab ./run ./other-run -d test.jsonl",
  ],
  details:
    "Asks the model every row and compares its answers with those of the rows: equal as JSON where " +
    "both are JSON, else as text. Slots are compared path by path, lists as sets. The perplexity is that " +
    "of the rows' own answers. Calibration is measured where answers state a confidence. --failures " +
    "writes what was answered wrongly, ready to be corrected and trained. Rows of triplets or pairs measure " +
    "embeddings: whether the model finds each anchor's text among all others.",
  settings: evalSettings,
  async run(settings, io) {
    const { runEval } = await import("./run.ts");
    await runEval(settings, io);
  },
});
