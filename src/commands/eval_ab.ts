import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { columns, plural } from "../base/text.ts";
import { compare, type Comparison, verdict } from "../evaluate/compare.ts";
import { type Given, judge, type Judged } from "../evaluate/judge.ts";
import { readRun } from "../report/folder.ts";
import { THRESHOLDS } from "../settings/answers.ts";
import type { CommonSettings } from "../settings/common.ts";
import { type AbSettings, abSettings } from "../settings/eval.ts";
import { command } from "./command.ts";
import { changed, percent } from "./eval_table.ts";
import type { Io } from "./io.ts";
import { isGguf } from "./texts.ts";

export const evalAb = command({
  section: "eval_ab",
  examples: [
    "whet eval ab runs/first runs/second -d test.jsonl",
    "whet eval ab base runs/first -m ./model -d test.jsonl --slice metadata.kind",
    "whet eval ab model.gguf model-q4.gguf -d test.jsonl",
    "whet eval ab first.jsonl second.jsonl     # files of whet eval --predictions",
  ],
  details:
    "Asks both the same rows and says which is better, or that so many rows cannot tell: rows won and " +
    "lost, McNemar's exact test, 95 % intervals by the paired bootstrap (10,000 resamples), by slice too.",
  settings: abSettings,
  async run(settings, io) {
    const { first, second } = settings;
    const sides = [sideOf(first, settings), sideOf(second, settings)] as const;
    const [a, b] = await judgedBoth(sides, settings, io);
    const compared = compare(a, b, settings.seed);
    const names = [first, second] as const, said = verdict(compared, names);
    const answer = { a: first, b: second, ...compared, verdict: said };
    if (settings.output !== undefined) {
      await writeFile(settings.output, JSON.stringify(answer, null, 2) + "\n");
    }
    io.result(answer);
    io.out(`${table(compared, names)}\n\n${said.join("\n")}`);
  },
});

/** One of the two: answers given already, or what gives them. */
type Side =
  & { readonly name: string }
  & (
    | { readonly predictions: string }
    | { readonly model: string; readonly adapter?: string }
  );

/** @throws Fail (usage) where it is nothing that answers */
function sideOf(name: string, { model }: AbSettings): Side {
  if (name === "base") return { name, model: model ?? missing("base is the model alone") };
  const file = statSync(name, { throwIfNoEntry: false })?.isFile();
  if (file && !isGguf(name)) return { name, predictions: name };
  if (isGguf(name) || existsSync(join(name, "config.json"))) return { name, model: name };
  if (existsSync(join(name, "adapter_config.json"))) {
    const run = existsSync(join(name, "run.json"));
    const base = model ?? (run ? readRun(name).manifest.model.path : undefined);
    return {
      name,
      adapter: name,
      model: base ?? missing(`${name} is an adapter without a run.json`),
    };
  }
  throw new Fail(`${name} is nothing that can be compared`, {
    why: existsSync(name)
      ? "it holds neither an adapter nor a model"
      : "there is no such file or folder",
    fix: "name a run, an adapter, a model folder, a GGUF file, base, or a file of --predictions",
    exit: Exit.usage,
  });
}

function missing(why: string): never {
  throw new Fail("-m MODEL is needed", { why, fix: "-m MODEL", exit: Exit.usage });
}

/** Both sides' answers to the same rows in the same order. @throws Fail (usage) (data) */
async function judgedBoth(
  sides: readonly [Side, Side],
  settings: AbSettings & CommonSettings,
  io: Io,
): Promise<readonly [Judged[], Judged[]]> {
  const { schemaOf } = await import("./constrained.ts");
  const judging = {
    sections: settings.sections ?? [],
    thresholds: settings.thresholds ?? THRESHOLDS,
    problems: settings.schema === undefined ? undefined : schemaOf(settings.schema).problems,
  };
  const sets: Given[][] = [];
  for (const side of sides) {
    sets.push(
      "predictions" in side ? await predictionsOf(side.predictions) : await ask(side, settings, io),
    );
  }
  const [a, b] = sets as [Given[], Given[]];
  // A file of predictions may hold more rows than --limit asks of the other side.
  const key = ({ line, prompt, expected }: Given) => JSON.stringify([line, prompt, expected]);
  const there = new Map(b.map((row) => [key(row), row]));
  const both = a.flatMap((row) => {
    const other = there.get(key(row));
    return other ? [[row, { ...other, slices: row.slices ?? other.slices }] as const] : [];
  });
  if (both.length === 0) {
    throw new Fail("the two were not asked the same rows", {
      why: `none of the ${plural(a.length, "row")} of ${sides[0].name} is in ${sides[1].name}`,
      fix: "measure both on one file of rows",
      exit: Exit.data,
    });
  }
  const left = Math.max(a.length, b.length) - both.length;
  if (left > 0) {
    io.warn("WH0305", `${plural(left, "row")} passed over: only one of the two has them`);
  }
  return [both.map(([x]) => judge(x, judging)), both.map(([, y]) => judge(y, judging))];
}

/** Rows of `whet eval --predictions`. @throws Fail (data) */
async function predictionsOf(path: string): Promise<Given[]> {
  const [{ jsonValues }, { badRows, byteStream }] = await Promise.all([
    import("../data/json_values.ts"),
    import("../data/rows.ts"),
  ]);
  const rows: Given[] = [];
  const bad: { line: number; reason: string; text: string }[] = [];
  for await (const { value, line, text, problem } of jsonValues(byteStream(path))) {
    const row = value as Partial<Given> | null;
    const fits = typeof row === "object" && typeof row?.line === "number" &&
      [row.prompt, row.expected, row.predicted].every((one) => typeof one === "string");
    if (fits) rows.push(row as Given);
    else bad.push({ line, text, reason: problem ?? "no line, prompt, expected and predicted" });
  }
  if (bad.length === 0 && rows.length > 0) return rows;
  const fix = `whet eval --predictions ${path} writes such a file`;
  if (bad.length > 0) throw badRows(path, bad, rows.length + bad.length, fix);
  throw new Fail(`${path} holds no answers`, { fix, exit: Exit.data });
}

async function ask(
  side: Extract<Side, { model: string }>,
  settings: AbSettings & CommonSettings,
  io: Io,
): Promise<Given[]> {
  const { data } = settings;
  if (data === undefined) {
    throw new Fail("-d FILE is needed", {
      why: `${side.name} has to be asked the rows`,
      fix: "-d test.jsonl, or two files of whet eval --predictions",
      exit: Exit.usage,
    });
  }
  const [{ load, openBoth }, { measure }, { readRows }, { textsOf }, { slicesOf, warnOfTrained }] =
    await Promise.all([
      import("./loaded.ts"),
      import("./evaluation.ts"),
      import("./prepared.ts"),
      import("./texts.ts"),
      import("./eval_rows.ts"),
    ]);
  const texts = await textsOf(side.model, settings.template);
  const which = { ...settings, model: side.model, adapter: side.adapter };
  using opened = await openBoth(which);
  const { vocab, context } = opened.model.sizes;
  const reading = {
    ...settings,
    overlong: "error",
    skip_bad: false,
    batch: 1,
    accum: 1,
  } as const;
  const asked = await readRows(data, reading, { vocab, context, ...texts }, io);
  const sections = settings.sections ?? [];
  const slices = await slicesOf(data, asked.examples, settings.slice, sections);
  await warnOfTrained(side.adapter, asked.examples, settings, io);
  using loaded = await load(opened, which, io);
  const { judged } = await measure(
    loaded,
    loaded.adapted,
    texts,
    asked,
    settings,
    { sections, thresholds: THRESHOLDS, only: ["exact"], slices },
    (done, of) => io.progress(`${side.name}: ${done} of ${of} answers`),
  );
  io.progress();
  return [...judged];
}

const NAMES: Readonly<Record<string, string>> = {
  exact_match: "exact match",
  json_valid: "valid JSON",
  schema_valid: "fits the schema",
  slot_f1: "slot F1",
};

function table({ measures, slices, n }: Comparison, [first, second]: readonly [string, string]) {
  const head = (
    title: string,
    rows: string,
  ) => [title, rows, first, second, "change in points, 95 % interval"];
  const all = columns([
    head("", "rows"),
    ...Object.entries(measures).map(([name, one]) => [
      NAMES[name] ?? name,
      String(n),
      percent(one.first),
      percent(one.second),
      changed(one, n),
    ]),
  ], [1, 2, 3]);
  const parts = Object.entries(slices).map(([name, values]) =>
    columns([
      head(`exact, by ${name}`, "rows"),
      ...Object.entries(values).slice(0, 30).map(([value, one]) => [
        `  ${value}`,
        String(one.n),
        percent(one.first),
        percent(one.second),
        changed(one, one.n),
      ]),
    ], [1, 2, 3])
  );
  return [all, ...parts].join("\n\n");
}
