import { dirname, relative, resolve } from "node:path";
import { z } from "zod";
import { writeFile } from "../../base/durable.ts";
import { columns, humanBytes, humanSeconds, short } from "../../base/text.ts";
import { comparisonHtml, rowsOf, winner } from "../../report/comparison.ts";
import { type Run, theRun } from "../../report/registry.ts";
import { field, path } from "../../settings/field.ts";
import { command } from "../command.ts";
import { rootField } from "./runs.ts";

/** The share of a loss below which a change of a setting was not worth it. */
const FLAT = 0.01;

/** Settings that say where and how a run was told of, not what it computes. */
const ASIDE = new Set(["output", "resume", "log_every", "report_to", "mlflow_uri", "experiment"]);

export const runsCompare = command({
  examples: [
    "whet runs compare first second",
    "whet runs compare runs/a runs/b runs/c -o compare.html",
  ],
  details:
    "What differs between runs, setting by setting, and their measures side by side; with -o also a page " +
    "with their curves laid over each other.",
  settings: z.strictObject({
    runs: field(z.array(path()).refine((list) => list.length > 1, "at least two are compared"), {
      value: "RUN",
      positional: 0,
      help: "run folders, or names or tags of runs below --root",
    }),
    root: rootField(),
    output: field(path().optional(), {
      group: "Main",
      short: "o",
      value: "FILE",
      help: "write a page of curves",
    }),
  }),
  async run({ runs: given, root, output }, io) {
    const runs = given.map((one) => theRun(one, root));
    const differing = differences(runs);
    const compared = runs.map(({ path: at, record }, i) => ({
      record,
      path: output ? relative(dirname(resolve(output)), resolve(at)) : at,
      choice: Object.fromEntries(differing.map(([key, values]) => [key, values[i]!])),
    }));
    const measures = rowsOf(compared);
    const best = winner(measures);
    io.result({
      differences: Object.fromEntries(differing),
      runs: measures.map((row, i) => ({ ...row, path: runs[i]!.path })),
      best: best && runs[best.run - 1]!.path,
    });
    const names = runs.map(({ path }) => path);
    if (differing.length > 0) {
      io.out(columns([["", ...names], ...differing.map(([key, values]) => [key, ...values])]));
    } else io.out(columns([["", ...names]]) + "\nthe same settings, rows, model and program");
    const cell = (value: number | undefined, write = short) =>
      value === undefined ? "" : write(value);
    const row = (
      name: string,
      of: (m: typeof measures[number]) => string,
    ) => [name, ...measures.map(of)];
    io.out(
      "\n" + columns([
        row("status", (m) => m.status),
        row("train loss", (m) => cell(m.train_loss)),
        row("val loss", (m) => cell(m.val_loss)),
        row("best val loss", (m) => cell(m.best_val_loss)),
        row("best perplexity", (m) => cell(m.best_ppl)),
        row("time", (m) => cell(m.seconds, humanSeconds)),
        row("memory", (m) => cell(m.mem_bytes, humanBytes)),
        row("weights", (m) => runs[m.run - 1]!.record.manifest.adapter?.sha256.slice(0, 12) ?? ""),
      ]),
    );
    if (best) io.out(`\nbest: ${runs[best.run - 1]!.path}`);
    if (output === undefined) return;
    await writeFile(output, comparisonHtml("Comparison", undefined, compared, FLAT));
    io.out(output);
  },
});

/** What is not the same in all runs: settings, and what they were made from. */
function differences(runs: readonly Run[]): [key: string, values: string[]][] {
  const all = runs.map(({ record: { manifest } }) => ({
    ...manifest.settings,
    "model sha256": manifest.model.sha256?.slice(0, 12),
    "rows sha256": manifest.data.sha256?.slice(0, 12),
    "validation sha256": manifest.validation?.sha256?.slice(0, 12),
    "device used": manifest.device.adapter,
    whet: `${manifest.whet.version} ${manifest.whet.commit}`,
  } as Record<string, unknown>));
  const keys = [...new Set(all.flatMap((one) => Object.keys(one)))].filter((key) =>
    !ASIDE.has(key)
  );
  return keys.map((key): [string, string[]] => [key, all.map((one) => told(one[key]))])
    .filter(([, values]) => new Set(values).size > 1);
}

function told(value: unknown): string {
  if (value === undefined || value === null) return "-";
  return Array.isArray(value) ? value.join(",") : String(value);
}
