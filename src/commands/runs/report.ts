import { join } from "node:path";
import { z } from "zod";
import { diagnose } from "../../report/diagnose.ts";
import { readRun, writeReport } from "../../report/folder.ts";
import { field, path } from "../../settings/field.ts";
import { command } from "../command.ts";

export const report = command({
  examples: ["whet report ./run", "whet report ./run --json"],
  details:
    "Makes report.html, report.md and README.md of a run again from its run.json and metrics.jsonl, " +
    "also of one that is going on or was killed, and says what its curves show.",
  settings: z.strictObject({
    run: field(path(), { value: "RUN", positional: 0, help: "the run folder" }),
  }),
  async run({ run }, io) {
    const record = readRun(run);
    const file = join(run, "report.html");
    await writeReport(run, record);
    const findings = diagnose(record);
    io.result({
      report: file,
      status: record.manifest.status,
      steps: record.steps.length,
      findings,
    });
    for (const { title, text } of findings) io.out(`${title}\n  ${text}`);
    io.out(`\n${file}`);
  },
});
