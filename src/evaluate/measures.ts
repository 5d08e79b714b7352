import {
  type Bin,
  brierScore,
  confidenceOf,
  expectedCalibrationError,
  reliability,
} from "./calibration.ts";
import { abstains, type Judged, ought, shown, statedBy } from "./judge.ts";
import { answerMetrics, canonicalJson, meanLoss, perplexity, type Rate } from "./metrics.ts";
import { rouge } from "./rouge.ts";
import { ACTIONS, type Confusion, confusion } from "./routing.ts";
import { section } from "./sections.ts";
import { type Interval, wilson } from "./significance.ts";
import { type Signs, signs } from "./signs.ts";
import { type F1, type Slot, slotMetrics } from "./slots.ts";

/**
 * What `whet eval` measures. Shares are in [0, 1], loss in nats a token, latency in milliseconds. What the
 * rows have nothing for is absent.
 */
export interface Measures {
  readonly n: number;
  readonly exact_match?: number;
  /** 95 % (Wilson). */
  readonly exact_match_interval?: Interval;
  readonly raw_match?: number;
  readonly json_valid?: number;
  readonly schema_valid?: number;
  /** Top-level fields of the expected answers: share that is equal. */
  readonly fields?: Readonly<Record<string, number>>;
  /** F1 of an answer's slots, those of confidence left out: the mean over answers. */
  readonly slot_f1?: number;
  /** The same over all slots of all answers together. */
  readonly slot_micro?: F1;
  readonly slots?: Readonly<Record<string, Slot>>;
  readonly command?: Readonly<Record<string, number>>;
  readonly perplexity?: number;
  readonly loss?: number;
  readonly latency_ms?: Readonly<Record<string, number>>;
  readonly tokens_per_second?: number;
  /** Expected calibration error in 10 and in 15 intervals. */
  readonly ece?: number;
  readonly ece_15?: number;
  readonly brier?: number;
  readonly reliability?: readonly Bin[];
  /** Mean distance of the stated confidence from that of the row's answer. */
  readonly confidence_error?: number;
  readonly routing?: Confusion & { readonly accuracy: number };
  readonly abstention?: Abstention;
  readonly rouge?: Readonly<Record<"rouge1" | "rouge2" | "rougeL", number>>;
  readonly signs?: Signs;
  readonly slices?: Readonly<Record<string, Readonly<Record<string, Slice>>>>;
}

/** Of the rows that ought to be asked back, the share that are; of the others, the share that are too. */
export interface Abstention {
  readonly of: number;
  readonly rate?: number;
  readonly needless?: number;
}

export interface Slice {
  readonly n: number;
  readonly exact_match: number;
  readonly interval: Interval;
  readonly json_valid: number;
  readonly slot_f1?: number;
}

/** Which measures --metrics names; `ppl` needs no answers, all others do. */
export const METRICS = {
  exact: ["exact_match", "exact_match_interval", "raw_match"],
  json: ["json_valid", "schema_valid"],
  fields: ["fields", "slot_f1", "slot_micro", "slots", "command"],
  ppl: ["perplexity", "loss"],
  latency: ["latency_ms", "tokens_per_second"],
  calibration: ["ece", "ece_15", "brier", "reliability", "confidence_error", "signs"],
  routing: ["routing", "abstention"],
  rouge: ["rouge"],
} as const satisfies Readonly<Record<string, readonly (keyof Measures)[]>>;
export type Metric = keyof typeof METRICS;

export interface Whole {
  readonly sections: readonly string[];
  /** Seconds that all answers together took. */
  readonly seconds?: number;
  /** Losses of the expected answers, also of rows that ask nothing. */
  readonly losses?: readonly { readonly nll: number; readonly tokens: number }[];
  /** ROUGE of JSON answers too. */
  readonly rouge?: boolean;
  /** Those wanted; all unless told. */
  readonly only?: readonly Metric[];
}

/** All measures of judged rows; those of whole texts where there are none. */
export function measuresOf(rows: readonly Judged[], whole: Whole): Measures {
  const { sections, losses, only } = whole;
  const all: Measures = {
    n: rows.length > 0 ? rows.length : losses?.length ?? 0,
    ...(rows.length > 0 ? answerMeasures(rows, whole) : {}),
    ...(losses ? { perplexity: perplexity(losses), loss: meanLoss(losses) } : {}),
    ...(rows.length > 0 ? { signs: signs(rows.map((row) => shown(row, sections))) } : {}),
    ...sliced(rows),
  };
  if (!only) return all;
  const kept = new Set<string>(["n", "slices", ...only.flatMap((name) => METRICS[name])]);
  return Object.fromEntries(
    Object.entries(all).filter(([key]) => kept.has(key)),
  ) as unknown as Measures;
}

function answerMeasures(rows: readonly Judged[], whole: Whole): Omit<Measures, "n"> {
  const { fields, command, exact_match, raw_match, json_valid, latency_ms } = answerMetrics(
    rows.map(({ bodies: [predicted, expected], milliseconds }) => ({
      predicted,
      expected,
      latencyMs: milliseconds,
    })),
  );
  const checked = rows.flatMap(({ problems }) => problems ? [problems.length === 0] : []);
  const structured = rows.filter(({ f1 }) => f1 !== undefined);
  const { all, slots } = slotMetrics(structured.map(({ got, want }) => [got, want]));
  const tokens = rows.reduce((sum, row) => sum + (row.tokens ?? 0), 0);
  return {
    exact_match,
    exact_match_interval: wilson(rows.filter(({ right }) => right).length, rows.length),
    raw_match,
    json_valid,
    ...(checked.length > 0 ? { schema_valid: share(checked) } : {}),
    fields: rates(fields),
    ...meanF1(rows),
    ...(structured.length > 0 ? { slot_micro: all, slots: Object.fromEntries(slots) } : {}),
    ...(command.command.of > 0 ? { command: rates(command) } : {}),
    ...(latency_ms ? { latency_ms: { ...latency_ms } } : {}),
    ...(whole.seconds && tokens > 0 ? { tokens_per_second: tokens / whole.seconds } : {}),
    ...calibration(rows),
    ...routing(rows),
    ...roughly(rows, whole),
  };
}

function calibration(rows: readonly Judged[]): Partial<Measures> {
  const stated = rows.flatMap(statedBy);
  if (stated.length === 0) return {};
  const errors = rows.flatMap(({ got, want }) => {
    const [said, meant] = [confidenceOf(got), confidenceOf(want)];
    return said === undefined || meant === undefined ? [] : [Math.abs(said - meant)];
  });
  return {
    ece: expectedCalibrationError(stated),
    ece_15: expectedCalibrationError(stated, 15),
    brier: brierScore(stated),
    reliability: reliability(stated),
    ...(errors.length > 0
      ? { confidence_error: errors.reduce((a, b) => a + b, 0) / errors.length }
      : {}),
  };
}

/** Only where the rows' own answers state how sure they are. */
function routing(rows: readonly Judged[]): Partial<Measures> {
  const routed = rows.filter(({ want }) => confidenceOf(want) !== undefined);
  if (routed.length === 0) return {};
  const pairs = routed.map((row) => [row.expectedAction, row.action] as const);
  const doubtful = routed.filter(ought), clear = routed.filter((row) => !ought(row));
  return {
    routing: {
      accuracy: share(pairs.map(([expected, given]) => expected === given)),
      ...confusion(pairs, ACTIONS),
    },
    abstention: {
      of: doubtful.length,
      ...(doubtful.length > 0 ? { rate: share(doubtful.map(abstains)) } : {}),
      ...(clear.length > 0 ? { needless: share(clear.map(abstains)) } : {}),
    },
  };
}

/** ROUGE: of the sections that are text, else of answers that are no JSON, else only when asked. */
function roughly(rows: readonly Judged[], whole: Whole): Partial<Measures> {
  const tag = whole.sections.length > 1 ? whole.sections[0] : undefined;
  const texts = tag !== undefined
    ? rows.map((row) =>
      [section(row.predicted, tag) ?? "", section(row.expected, tag) ?? ""] as const
    )
    : rows.filter(({ want }) => whole.rouge || want === undefined).map(({ bodies }) => bodies);
  return texts.length === 0 ? {} : { rouge: rouge(texts) };
}

function sliced(rows: readonly Judged[]): Pick<Measures, "slices"> {
  const groups = groupsOf(rows);
  if (groups.size === 0) return {};
  return {
    slices: Object.fromEntries(
      [...groups].map(([name, parts]) => [
        name,
        Object.fromEntries([...parts].map(([value, part]) => [value, sliceOf(part)])),
      ]),
    ),
  };
}

function sliceOf(rows: readonly Judged[]): Slice {
  const right = rows.filter((row) => row.right).length;
  return {
    n: rows.length,
    exact_match: right / rows.length,
    interval: wilson(right, rows.length),
    json_valid: share(rows.map(({ json }) => json)),
    ...meanF1(rows),
  };
}

function meanF1(rows: readonly Judged[]): { slot_f1?: number } {
  const all = rows.flatMap(({ f1 }) => f1 ?? []);
  return all.length === 0 ? {} : { slot_f1: all.reduce((a, b) => a + b, 0) / all.length };
}

/** Rows by slice and value, the values with most rows first. */
export function groupsOf<Row extends Pick<Judged, "slices">>(
  rows: readonly Row[],
): Map<string, Map<string, Row[]>> {
  const groups = new Map<string, Map<string, Row[]>>();
  for (const row of rows) {
    for (const [name, value] of Object.entries(row.slices ?? {})) {
      const parts = groups.get(name) ?? new Map<string, Row[]>();
      groups.set(name, parts);
      const part = parts.get(value);
      if (part) part.push(row);
      else parts.set(value, [row]);
    }
  }
  for (const [name, parts] of groups) {
    groups.set(name, new Map([...parts].sort(([, a], [, b]) => b.length - a.length)));
  }
  return groups;
}

/** What an answer has otherwise than it should, path by path; nothing where they are equal. */
export function differencesOf({ got, want }: Pick<Judged, "got" | "want">): Difference[] {
  const found: Difference[] = [];
  const walk = (path: string, got: unknown, want: unknown) => {
    if (
      canonicalJson(got ?? null) === canonicalJson(want ?? null) &&
      (got === undefined) === (want === undefined)
    ) {
      return;
    }
    const [g, w] = [record(got), record(want)];
    if (!g || !w) return void found.push({ path, got, want });
    for (const key of new Set([...Object.keys(w), ...Object.keys(g)])) {
      walk(path ? `${path}.${key}` : key, g[key], w[key]);
    }
  };
  walk("", got, want);
  return found;
}

/** A value that differs; undefined where it is missing. */
export interface Difference {
  readonly path: string;
  readonly got: unknown;
  readonly want: unknown;
}

const record = (value: unknown) =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Readonly<Record<string, unknown>>
    : undefined;

const share = (of: readonly boolean[]) => of.filter(Boolean).length / of.length;

const rates = (all: Readonly<Record<string, Rate>>): Record<string, number> =>
  Object.fromEntries(Object.entries(all).map(([name, { rate }]) => [name, rate]));
