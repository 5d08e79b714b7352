import { columns, short } from "../../base/text.ts";
import { type Compared, type Comparison, FEWEST } from "../../evaluate/compare.ts";
import type { Measures } from "../../evaluate/measures.ts";

/** Fields and slots shown at most; all are in the result and on the page. */
const MOST = 16;

/** The measures for people, beside those of the base where there are, and what the difference is worth. */
export function table(after: Measures, before?: Measures, compared?: Comparison): string {
  const rows: string[][] = before
    ? [["", "base", "tuned", ...(compared ? ["change in points, 95 % interval"] : [])]]
    : [];
  const add = (
    name: string,
    of: (m: Measures) => number | undefined,
    show: (n: number) => string = percent,
    change?: Compared,
  ) => {
    const cells = [...(before ? [before] : []), after].map(of);
    if (cells.every((cell) => cell === undefined)) return;
    rows.push([
      name,
      ...cells.map((cell) => cell === undefined ? "" : show(cell)),
      ...(change ? [changed(change, after.n)] : []),
    ]);
  };
  add("rows", (m) => m.n, String);
  add("exact match", (m) => m.exact_match, percent, compared?.measures.exact_match);
  add("valid JSON", (m) => m.json_valid, percent, compared?.measures.json_valid);
  add("fits the schema", (m) => m.schema_valid, percent, compared?.measures.schema_valid);
  add("slot F1", (m) => m.slot_f1, percent, compared?.measures.slot_f1);
  for (const name of Object.keys(after.fields ?? {}).slice(0, MOST)) {
    add(`  ${name}`, (m) => m.fields?.[name]);
  }
  add("perplexity", (m) => m.perplexity, short);
  add("calibration error", (m) => m.ece, short);
  add("Brier score", (m) => m.brier, short);
  add("routed as it should", (m) => m.routing?.accuracy);
  add("asks back where it should", (m) => m.abstention?.rate);
  add("asks back needlessly", (m) => m.abstention?.needless);
  add("ROUGE-1", (m) => m.rouge?.rouge1, short);
  add("ROUGE-2", (m) => m.rouge?.rouge2, short);
  add("ROUGE-L", (m) => m.rouge?.rougeL, short);
  add("latency, median", (m) => m.latency_ms?.p50, milliseconds);
  add("latency, 95 %", (m) => m.latency_ms?.p95, milliseconds);
  add("tokens a second", (m) => m.tokens_per_second, (n) => n.toFixed(0));
  return columns(rows, before ? [1, 2] : [1]);
}

/** Slices, the worst first; "" where there are none. */
export function sliceTable({ slices = {} }: Measures): string {
  return Object.entries(slices).map(([name, values]) => {
    const sorted = Object.entries(values)
      .sort(([, a], [, b]) => a.exact_match - b.exact_match || b.n - a.n);
    return columns([
      [`by ${name}`, "rows", "exact", "95 % interval"],
      ...sorted.slice(0, MOST).map(([value, { n, exact_match, interval: [low, high] }]) => [
        `  ${value}`,
        String(n),
        percent(exact_match),
        `${percent(low)} to ${percent(high)}`,
      ]),
      ...(sorted.length > MOST ? [[`  and ${sorted.length - MOST} more`]] : []),
    ], [1, 2]);
  }).join("\n\n");
}

export const percent = (n: number) => `${(100 * n).toFixed(1)} %`;

/** "+23.4 (+15.0 to +31.7)"; of few rows without the interval, which would promise too much. */
export function changed({ mean, interval: [low, high] }: Compared, n = FEWEST): string {
  const signed = (n: number) => `${n < 0 ? "−" : "+"}${Math.abs(100 * n).toFixed(1)}`;
  return n < FEWEST
    ? `${signed(mean)} (too few rows)`
    : `${signed(mean)} (${signed(low)} to ${signed(high)})`;
}

const milliseconds = (n: number) => `${n.toFixed(0)} ms`;
