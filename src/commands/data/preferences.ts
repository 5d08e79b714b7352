import { Exit, Fail } from "../../base/fail.ts";
import { preferencesSettings } from "../../settings/data_preferences.ts";
import { command } from "../command.ts";

export const dataPreferences = command({
  stops: true,
  examples: [
    "whet data preferences -m ./sft-run --prompts rows.jsonl -o preferences.jsonl",
    "whet data preferences -m ./model -a ./sft-run --schema gh -n 1000",
    "whet data preferences -m ./sft-run --schema gh --teacher anthropic --estimate",
    "whet data preferences -m ./sft-run --prompts rows.jsonl --schema gh --best-of 4 --reject hardest",
  ],
  details:
    "Asks the model every prompt and sets its answer against the ideal one: chosen is the ideal " +
    "answer, rejected what the model said. Where both are the same the pair is skipped. Ideal answers " +
    "that are no JSON, or break the schema, are dropped. With --best-of K several answers are drawn; " +
    "agreement with the ideal answer is F1 of the slots where both are JSON, 0 where only the ideal " +
    "one is, and F1 of the words of texts.\n" +
    "-m may name a run: its base is then the one it was trained on, and prompts are put as that " +
    "training did. Every batch is on the disk before the next, in FILE_progress.jsonl: the same command " +
    "goes on after any interruption, to the same pairs. Every row tells where it is from.",
  settings: preferencesSettings,
  async run(settings, io) {
    const { runPreferences, tellIdeals, told } = await import("./preferring.ts");
    if (settings.estimate || settings.emit_prompts !== undefined) {
      return await tellIdeals(settings, io);
    }
    const report = await runPreferences(settings, io);
    io.result(report);
    if (report.skipped) return;
    if (!report.complete) {
      return io.note(`${told(report, settings.reject)}\nthe same command goes on`);
    }
    io.out(told(report, settings.reject));
    if (report.pairs > 0) return;
    throw new Fail("no pair is left", {
      why: report.identical > 0
        ? "the model answers as well as the ideal answers"
        : "there was no ideal answer that could be used",
      fix: report.identical > 0
        ? "harder prompts, or --best-of 4 to draw answers that differ"
        : "ideal answers that are valid JSON and fit the schema, or --text",
      exit: Exit.data,
    });
  },
});
