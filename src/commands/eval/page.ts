import { resolve } from "node:path";
import { plural, short } from "../../base/text.ts";
import type { Judged } from "../../evaluate/judge.ts";
import { differencesOf, type Measures } from "../../evaluate/measures.ts";
import { confusion } from "../../evaluate/routing.ts";
import { wilson } from "../../evaluate/significance.ts";
import { isConfidence } from "../../evaluate/slots.ts";
import {
  evaluationHtml,
  type EvaluationPage,
  type Measured,
  type Shown,
} from "../../report/evaluation.ts";
import type { EvalSettings } from "../../settings/eval.ts";
import type { Outcome } from "./outcome.ts";
import { changed, percent } from "./table.ts";
import { version } from "../version.ts";

/** Examples on a page at most: more would make it slow. */
const MOST = 1000;
/** Names of a confusion matrix at most. */
const NAMES = 12;

/** The page of `whet eval --html`. */
export function evaluationPage(settings: EvalSettings, outcome: Outcome): string {
  const { before, after: { measures, judged, tried }, said, signs } = outcome;
  const name = (path: string) => path.replace(/[/\\]+$/, "").replace(/^.*[/\\]/, "");
  const of = name(settings.adapter ?? settings.model);
  const page: EvaluationPage = {
    title: `${of} on ${name(settings.data)}`,
    subtitle: `${settings.adapter ? `the adapter ${of} of ` : ""}${name(settings.model)}, ` +
      `${plural(measures.n, "row")}, measured on ${new Date().toISOString().slice(0, 10)}`,
    tiles: tiles(measures, before?.measures),
    verdict: said,
    measures: rowsOf(outcome),
    signs,
    confusions: confusionsOf(judged, measures),
    reliability: measures.reliability,
    calibration: measures.ece === undefined
      ? undefined
      : `Calibration error ${short(measures.ece)} in 10 intervals, ${
        short(measures.ece_15!)
      } in 15; ` +
        `Brier score ${
          short(measures.brier!)
        }. The line across a bar is what was stated: pale is surer than right.`,
    slots: Object.entries(measures.slots ?? {})
      .map(([path, slot]) => ({ path: path || "(the answer)", ...slot }))
      .sort((a, b) => b.of - a.of).slice(0, 60),
    slices: Object.entries(measures.slices ?? {}).map(([name, values]) => ({
      name,
      values: Object.entries(values).map(([value, { n, exact_match, interval }]) => ({
        name: value,
        n,
        share: exact_match,
        interval,
        before: before?.measures.slices?.[name]?.[value]?.exact_match,
      })).sort((a, b) => a.share - b.share || b.n - a.n).slice(0, 40),
    })),
    adversarial: Object.entries(measures.adversarial?.kinds ?? {}).map(([kind, { n, passed }]) => ({
      name: kind,
      n,
      share: passed,
      interval: wilson(Math.round(passed * n), n),
      before: before?.measures.adversarial?.kinds[kind]?.passed,
    })),
    ...examplesOf(judged, before?.judged, tried),
    origins: [
      ["model", resolve(settings.model)],
      ...(settings.adapter ? [["adapter", resolve(settings.adapter)] as const] : []),
      ["rows", resolve(settings.data)],
      ...(settings.adversarial
        ? [["adversarial rows", resolve(settings.adversarial)] as const]
        : []),
      ...(settings.schema ? [["schema", resolve(settings.schema)] as const] : []),
      [
        "answers",
        settings.temp === 0
          ? `greedy, at most ${settings.max_tokens} tokens`
          : `temperature ${settings.temp}, top-p ${settings.top_p}, seed ${settings.seed}, at most ` +
            `${settings.max_tokens} tokens`,
      ],
      ["whet", version],
    ],
  };
  return evaluationHtml(page);
}

function tiles(m: Outcome["after"]["measures"], base?: Measures): [string, string][] {
  const all: [string, number | undefined, string][] = [
    [
      base?.exact_match === undefined
        ? "exactly right"
        : `exactly right; the base ${percent(base.exact_match)}`,
      m.exact_match,
      percent(m.exact_match ?? 0),
    ],
    ["valid JSON", m.json_valid, percent(m.json_valid ?? 0)],
    ["fits the schema", m.schema_valid, percent(m.schema_valid ?? 0)],
    ["slot F1", m.slot_f1, percent(m.slot_f1 ?? 0)],
    ["perplexity", m.perplexity, short(m.perplexity ?? 0)],
    ["calibration error", m.ece, short(m.ece ?? 0)],
    ["adversarial passed", m.adversarial?.passed, percent(m.adversarial?.passed ?? 0)],
  ];
  return all.filter(([, value]) => value !== undefined).map(([name, , text]) => [text, name]);
}

function rowsOf({ after: { measures: after }, before, compared }: Outcome): Measured[] {
  const rows: Measured[] = [];
  const add = (
    name: string,
    of: (m: Outcome["after"]["measures"]) => number | undefined,
    how: { key?: string; show?: (n: number) => string; share?: boolean } = {},
  ) => {
    const { key, share = true, show = share ? percent : short } = how;
    const [was, is] = [before ? of(before.measures) : undefined, of(after)];
    if (is === undefined) return;
    const change = key === undefined ? undefined : compared?.measures[key];
    rows.push({
      name,
      ...(was === undefined ? {} : { before: show(was) }),
      after: show(is),
      ...(change ? { change: changed(change, after.n), better: change.interval[0] > 0 } : {}),
      ...(share ? { shares: [was, is] as const } : {}),
    });
  };
  add("exact match", (m) => m.exact_match, { key: "exact_match" });
  add("equal to the character", (m) => m.raw_match);
  add("valid JSON", (m) => m.json_valid, { key: "json_valid" });
  add("fits the schema", (m) => m.schema_valid, { key: "schema_valid" });
  add("slot F1", (m) => m.slot_f1, { key: "slot_f1" });
  for (const name of Object.keys(after.command ?? {})) {
    add(`commands: ${name}`, (m) => m.command?.[name]);
  }
  add("routed as it should", (m) => m.routing?.accuracy);
  add("asks back where it should", (m) => m.abstention?.rate);
  add("asks back needlessly", (m) => m.abstention?.needless);
  add("adversarial rows passed", (m) => m.adversarial?.passed);
  add("abstains from nonsense", (m) => m.adversarial?.abstention);
  add("answers nonsense confidently", (m) => m.adversarial?.confident_nonsense);
  add("tells pairs apart", (m) => m.adversarial?.pairs);
  for (const name of ["rouge1", "rouge2", "rougeL"] as const) {
    add(name.replace("rouge", "ROUGE-"), (m) => m.rouge?.[name]);
  }
  const plain = { share: false };
  add("perplexity", (m) => m.perplexity, plain);
  add("cross-entropy, nats a token", (m) => m.loss, plain);
  add("calibration error", (m) => m.ece, plain);
  add("Brier score", (m) => m.brier, plain);
  const ms = { share: false, show: (n: number) => `${n.toFixed(0)} ms` };
  add("latency, median", (m) => m.latency_ms?.p50, ms);
  add("latency, 95 %", (m) => m.latency_ms?.p95, ms);
  add("tokens a second", (m) => m.tokens_per_second, { share: false, show: (n) => n.toFixed(0) });
  return rows;
}

/** What is done with an answer, and the first field that takes few values: type, command, intent. */
function confusionsOf(
  judged: readonly Judged[],
  { routing }: Measures,
): EvaluationPage["confusions"] {
  const fields = new Map<string, Map<string, number>>();
  const text = (value: unknown, name: string) => {
    const found = (value as Record<string, unknown> | null | undefined)?.[name];
    return typeof found === "string" ? found : undefined;
  };
  for (const { want } of judged) {
    if (typeof want !== "object" || want === null) continue;
    for (const name of Object.keys(want)) {
      const value = text(want, name);
      if (value === undefined || isConfidence(name)) continue;
      const values = fields.get(name) ?? new Map<string, number>();
      fields.set(name, values.set(value, (values.get(value) ?? 0) + 1));
    }
  }
  const some = [...fields].filter(([, values]) => {
    const n = [...values.values()].reduce((a, b) => a + b, 0);
    return values.size > 1 && n >= 4 * values.size;
  }).slice(0, 3);
  return [
    ...(routing ? [{ title: "What is done with the answer", ...routing }] : []),
    ...some.map(([name, values]) => {
      const often = [...values].sort(([, a], [, b]) => b - a).slice(0, NAMES - 2).map(([v]) => v);
      const known = (value: string | undefined) =>
        value === undefined ? "(none)" : often.includes(value) ? value : "(other)";
      const pairs = judged.flatMap(({ want, got }) => {
        const expected = text(want, name);
        return expected === undefined ? [] : [[known(expected), known(text(got, name))] as const];
      });
      return { title: `The field ${name}`, ...confusion(pairs, often) };
    }),
  ];
}

function examplesOf(
  judged: readonly Judged[],
  before: readonly Judged[] | undefined,
  tried: Outcome["after"]["tried"] = [],
): Pick<EvaluationPage, "examples" | "left"> {
  const show = (value: unknown) => value === undefined ? "nothing" : JSON.stringify(value);
  const told = ({ confidence, action }: Judged) =>
    confidence === undefined ? "" : `confidence ${short(confidence)}: ${action}`;
  const rows = judged.map((row, i): Shown => {
    const base = before?.[i];
    return {
      line: row.line,
      right: row.right,
      tags: Object.entries(row.slices ?? {}).map(([name, value]) => `${name} ${value}`),
      prompt: row.prompt,
      expected: row.expected,
      predicted: row.predicted,
      ...(base ? { before: { text: base.predicted, right: base.right } } : {}),
      differences: row.json && row.want !== undefined
        ? differencesOf(row).map(({ path, got, want }) => ({
          path: path || "(the answer)",
          got: show(got),
          want: show(want),
        }))
        : [],
      notes: [
        ...(!row.json && row.want !== undefined ? ["the answer is not JSON"] : []),
        ...(row.json ? row.problems ?? [] : []).map((problem) => `the schema says: ${problem}`),
      ],
      told: told(row),
    };
  });
  const hard = tried.map(({ answer, flaws, hints, kind, id, expect }): Shown => ({
    line: answer.line,
    right: flaws.length === 0,
    tags: [`adversarial ${kind}`],
    prompt: answer.prompt,
    expected: JSON.stringify(expect),
    predicted: answer.predicted,
    differences: [],
    notes: [...flaws, ...hints],
    told: [id, told(answer)].filter(Boolean).join(": "),
  }));
  const sorted = [...rows, ...hard].map((row, i) => [row, i] as const)
    .sort(([a, i], [b, j]) => Number(a.right) - Number(b.right) || i - j).map(([row]) => row);
  return { examples: sorted.slice(0, MOST), left: Math.max(0, sorted.length - MOST) };
}
