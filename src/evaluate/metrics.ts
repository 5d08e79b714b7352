import { isObject } from "../base/strict_json.ts";

/** What an evaluation measures, as pure functions of predictions and references. */

/** A model's answer beside what was expected. */
export interface Answer {
  readonly predicted: string;
  readonly expected: string;
  /** Milliseconds from request to answer. */
  readonly latencyMs?: number;
}

/** How often a part was right, of the rows that have it. */
export interface Rate {
  readonly right: number;
  readonly of: number;
  /** right / of; 0 where no row has the part. */
  readonly rate: number;
}

export interface Latency {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly mean: number;
  readonly max: number;
}

export interface AnswerMetrics {
  readonly n: number;
  /** Share of answers equal to the reference: as JSON values where both are JSON, else as text. */
  readonly exact_match: number;
  /** Share of answers equal to the reference character for character. */
  readonly raw_match: number;
  /** Share of answers that are JSON. */
  readonly json_valid: number;
  /** Share of answers that a schema accepts; undefined without one. */
  readonly schema_valid?: number;
  /** Every top-level field of the references. */
  readonly fields: Readonly<Record<string, Rate>>;
  /** Rows whose reference is a command: its parts, and all arguments and all flags as a whole. */
  readonly command: {
    readonly type: Rate;
    readonly command: Rate;
    readonly subcommand: Rate;
    readonly args: Rate;
    readonly flags: Rate;
  };
  readonly latency_ms?: Latency;
}

/**
 * @param problems what a schema finds wrong with a parsed answer; empty when it is valid
 */
export function answerMetrics(
  answers: readonly Answer[],
  problems?: (answer: unknown) => readonly string[],
): AnswerMetrics {
  const rows = answers.map(({ predicted, expected }) => ({
    predicted,
    expected,
    got: parseAnswer(predicted),
    want: parseAnswer(expected),
  }));
  const share = (count: number) => rows.length === 0 ? 0 : count / rows.length;
  const count = (holds: (row: (typeof rows)[number]) => boolean) =>
    share(rows.filter(holds).length);

  const names = new Set(
    rows.flatMap(({ want }) => isObject(want?.value) ? Object.keys(want.value) : []),
  );
  const field = (name: string, of: typeof rows) =>
    rate(of, (row) => sameField(row.got?.value, row.want!.value, name));
  const having = (name: string) =>
    rows.filter(({ want }) => isObject(want?.value) && Object.hasOwn(want.value, name));

  const commands = rows.filter(({ want }) =>
    isObject(want?.value) && want.value.type === "command"
  );
  const latencies = answers.flatMap(({ latencyMs }) => latencyMs === undefined ? [] : [latencyMs]);
  return {
    n: rows.length,
    exact_match: count((row) => sameAnswer(row.predicted, row.expected)),
    raw_match: count((row) => row.predicted.trim() === row.expected.trim()),
    json_valid: count((row) => row.got !== undefined),
    ...(problems
      ? {
        schema_valid: count((row) => row.got !== undefined && problems(row.got.value).length === 0),
      }
      : {}),
    fields: Object.fromEntries([...names].map((name) => [name, field(name, having(name))])),
    command: {
      type: field("type", commands),
      command: field("command", commands),
      subcommand: field("subcommand", commands),
      args: field("args", commands),
      flags: rate(commands, ({ got, want }) => sameFlags(got?.value, want!.value)),
    },
    ...(latencies.length > 0 ? { latency_ms: latency(latencies) } : {}),
  };
}

/** Equal as JSON, whatever the order of keys and the spaces; equal as trimmed text otherwise. */
export function sameAnswer(predicted: string, expected: string): boolean {
  const want = parseAnswer(expected);
  if (!want) return predicted.trim() === expected.trim();
  const got = parseAnswer(predicted);
  return got !== undefined && canonicalJson(got.value) === canonicalJson(want.value);
}

/** The JSON value of a whole answer; undefined when it is anything else. */
export function parseAnswer(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

/** JSON with keys sorted at every depth. 1 and 1.0 are one number; lists keep their order. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value) ?? "null";
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key])}`).join(",")}}`;
}

/** Sums of negative log-likelihood (nats) over tokens; add batches in any order. */
export interface TokenLoss {
  readonly nll: number;
  readonly tokens: number;
}

/**
 * exp of the mean loss of all tokens: long rows count by their length, as in training. Batches must
 * not be averaged as perplexities. Infinity where exp overflows; NaN for no tokens.
 */
export function perplexity(batches: Iterable<TokenLoss>): number {
  return Math.exp(meanLoss(batches));
}

/** Cross-entropy: nats a token, over all tokens. */
export function meanLoss(batches: Iterable<TokenLoss>): number {
  let nll = 0;
  let tokens = 0;
  for (const batch of batches) {
    nll += batch.nll;
    tokens += batch.tokens;
  }
  return nll / tokens;
}

/** Percentiles by linear interpolation between order statistics (Hyndman and Fan 1996, type 7). */
export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) return NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (at - low) * (sorted[high]! - sorted[low]!);
}

export function latency(ms: readonly number[]): Latency {
  return {
    p50: percentile(ms, 0.5),
    p95: percentile(ms, 0.95),
    p99: percentile(ms, 0.99),
    mean: ms.reduce((sum, one) => sum + one, 0) / ms.length,
    max: percentile(ms, 1),
  };
}

function rate<T>(rows: readonly T[], right: (row: T) => boolean): Rate {
  const count = rows.filter(right).length;
  return { right: count, of: rows.length, rate: rows.length === 0 ? 0 : count / rows.length };
}

function sameField(got: unknown, want: unknown, name: string): boolean {
  if (!isObject(got) || !isObject(want) || !Object.hasOwn(got, name)) return false;
  return canonicalJson(got[name]) === canonicalJson(want[name]);
}

/** Flags are a set: their order says nothing. */
function sameFlags(got: unknown, want: unknown): boolean {
  const set = (answer: unknown) => {
    const flags = isObject(answer) ? answer.flags ?? [] : undefined;
    return Array.isArray(flags) ? canonicalJson(flags.map(String).sort()) : undefined;
  };
  const wanted = set(want);
  return wanted !== undefined && set(got) === wanted;
}
