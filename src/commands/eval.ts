import { Exit, Fail } from "../base/fail.ts";
import { columns, humanSeconds, short, suggest } from "../base/text.ts";
import { writeFile } from "../base/durable.ts";
import { evalSettings } from "../settings/use.ts";
import { command } from "./command.ts";
import type { Answered, Measures } from "./evaluation.ts";
import { checkPrompt } from "./prompt_check.ts";

export const evaluate = command({
  section: "eval",
  examples: [
    "whet eval -m ./model -a ./run -d test.jsonl",
    "whet eval -m ./model -a ./run -d test.jsonl --baseline --schema schema.yaml --json",
    "whet eval -m ./model -a ./run -d test.jsonl --fail-under exact_match=.9,json_valid=.99",
  ],
  details:
    "Asks the model every row and compares its answers with those of the rows: equal as JSON where " +
    "both are JSON, else as text. The perplexity is that of the rows' own answers. --failures writes " +
    "what was answered wrongly, ready to be corrected and trained.",
  settings: evalSettings,
  async run(settings, io) {
    const limits = settings.fail_under.map(limitOf);
    const [{ load, openBoth }, { measure, problemsOf }, { readRows }, { textsOf }] = await Promise
      .all([
        import("./loaded.ts"),
        import("./evaluation.ts"),
        import("./prepared.ts"),
        import("./texts.ts"),
      ]);
    const problems = settings.schema === undefined ? undefined : problemsOf(settings.schema);
    const texts = await textsOf(settings.model, settings.template);
    using opened = await openBoth(settings);
    const { vocab, context } = opened.model.sizes;
    const { examples, rows } = await readRows(
      settings.data,
      {
        ...settings,
        overlong: "error",
        json_indent: 0,
        skip_bad: false,
        batch: 1,
        accum: 1,
      },
      { vocab, context, ...texts },
      io,
    );
    checkPrompt(settings, examples, texts, settings.strict_prompt, io);
    using loaded = await load(opened, settings, io);
    const began = performance.now();
    const run = async (adapted: typeof loaded.adapted, name: string) => {
      const result = await measure(
        loaded,
        adapted,
        texts,
        { examples, rows },
        settings,
        problems,
        (done, of) => io.progress(`${name}: ${done} of ${of} answers`),
      );
      io.progress();
      return result;
    };
    const before = settings.baseline ? await run({}, "base alone") : undefined;
    const { measures, answered } = await run(loaded.adapted, "model");
    const answer = { ...measures, ...(before ? { baseline: before.measures } : {}) };
    if (settings.output !== undefined) {
      await writeFile(settings.output, JSON.stringify(answer, null, 2) + "\n");
    }
    if (settings.failures !== undefined) {
      const wrong = answered.filter(({ right }) => !right);
      await writeFile(settings.failures, wrong.map((row) => JSON.stringify(failure(row)) + "\n"));
      io.note(`${wrong.length} rows in ${settings.failures}`);
    }
    io.result(answer);
    io.out(table(measures, before?.measures));
    io.detail(`measured in ${humanSeconds((performance.now() - began) / 1000)}`);
    gate(measures, limits);
  },
});

interface Limit {
  readonly metric: string;
  readonly least: number;
}

/** Names by which people know the measures. */
const NAMES: Readonly<Record<string, string>> = {
  exact: "exact_match",
  raw: "raw_match",
  json: "json_valid",
  schema: "schema_valid",
};
const GATES = ["exact_match", "raw_match", "json_valid", "schema_valid"];

function limitOf(text: string): Limit {
  const [name, value] = text.split("=") as [string, string];
  const metric = NAMES[name] ?? name;
  if (GATES.includes(metric)) return { metric, least: Number(value) };
  const near = suggest(metric, GATES);
  throw new Fail(`--fail-under: unknown measure "${name}"`, {
    why: near ? `did you mean "${near}"?` : `known: ${GATES.join(", ")}`,
    fix: `--fail-under ${near ?? "exact_match"}=${value}`,
    exit: Exit.usage,
  });
}

/** @throws Fail (gate) where a measure is below its limit */
function gate(measures: Measures, limits: readonly Limit[]) {
  const low = limits.flatMap(({ metric, least }) => {
    const value = (measures as unknown as Record<string, number | undefined>)[metric];
    return value !== undefined && value >= least ? [] : [
      `${metric} is ${
        value === undefined ? "not measured (no --schema)" : short(value)
      }, wanted ${least}`,
    ];
  });
  if (low.length === 0) return;
  throw new Fail("the model is below what --fail-under asks for", {
    why: low.join("; "),
    fix:
      "--failures FILE writes the rows answered wrongly: correct them, add more like them, train again",
    exit: Exit.gate,
  });
}

/** A row answered wrongly, in a form that can be trained once its completion is right. */
function failure({ example, expected, predicted, prompt }: Answered) {
  return "messages" in example
    ? { messages: example.messages, predicted }
    : { prompt, completion: expected, predicted };
}

/** The measures for people, beside those of the base where there are. */
export function table(after: Measures, before?: Measures): string {
  const rows: string[][] = before ? [["", "base", "tuned"]] : [];
  const add = (
    name: string,
    of: (m: Measures) => number | undefined,
    show: (n: number) => string,
  ) => {
    const cells = [...(before ? [before] : []), after].map(of);
    if (cells.every((cell) => cell === undefined)) return;
    rows.push([name, ...cells.map((cell) => cell === undefined ? "" : show(cell))]);
  };
  const percent = (n: number) => `${(100 * n).toFixed(1)} %`;
  add("rows", (m) => m.n, String);
  add("exact match", (m) => m.exact_match, percent);
  add("valid JSON", (m) => m.json_valid, percent);
  add("fits the schema", (m) => m.schema_valid, percent);
  for (const name of Object.keys(after.fields)) add(`  ${name}`, (m) => m.fields[name], percent);
  add("perplexity", (m) => m.perplexity, short);
  add("calibration error", (m) => m.ece, short);
  add("latency, median", (m) => m.latency_ms?.p50, (n) => `${n.toFixed(0)} ms`);
  add("latency, 95 %", (m) => m.latency_ms?.p95, (n) => `${n.toFixed(0)} ms`);
  return columns(rows, before ? [1, 2] : [1]);
}
