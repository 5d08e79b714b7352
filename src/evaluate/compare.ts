import type { Judged } from "./judge.ts";
import { groupsOf } from "./measures.ts";
import { type Difference, mcnemar, pairedBootstrap, rowsFor } from "./significance.ts";

/** Two models on the same rows: what is better, by how much, and whether so many rows can tell. */
export interface Comparison {
  readonly n: number;
  /** Means of both and their difference, second minus first. */
  readonly measures: Readonly<Record<string, Compared>>;
  /** Rows that only the second, both or neither, only the first has right. */
  readonly wins: number;
  readonly ties: number;
  readonly losses: number;
  /** McNemar's exact test of the rows right. */
  readonly p: number;
  /** Of the rows right, by slice and value. */
  readonly slices: Readonly<Record<string, Readonly<Record<string, Compared & { n: number }>>>>;
}

export interface Compared extends Difference {
  readonly first: number;
  readonly second: number;
}

type Pair = readonly [first: Judged, second: Judged];

/** Measures of one row that can be compared; a row without one leaves it out. */
const OF: Readonly<Record<string, (row: Judged) => number | undefined>> = {
  exact_match: (row) => +row.right,
  json_valid: (row) => +row.json,
  schema_valid: (row) => row.problems && +(row.problems.length === 0),
  slot_f1: (row) => row.f1,
};

/**
 * @param first @param second answers of two models to the same rows in the same order
 * @param seed of the resampling; 10,000 resamples each
 */
export function compare(
  first: readonly Judged[],
  second: readonly Judged[],
  seed = 0,
): Comparison {
  const pairs = first.map((row, i): Pair => [row, second[i]!]);
  const wins = pairs.filter(([a, b]) => b.right && !a.right).length;
  const losses = pairs.filter(([a, b]) => a.right && !b.right).length;
  const measures = Object.entries(OF).flatMap(([name, of]) => {
    const compared = comparedBy(pairs, of, seed);
    return compared ? [[name, compared] as const] : [];
  });
  const groups = groupsOf(pairs.map(([a, b]) => ({ slices: a.slices, pair: [a, b] as Pair })));
  const slices = [...groups].map(([name, parts]) => [
    name,
    Object.fromEntries([...parts].map(([value, part]) => [value, {
      n: part.length,
      ...comparedBy(part.map(({ pair }) => pair), OF.exact_match!, seed)!,
    }])),
  ]);
  return {
    n: pairs.length,
    measures: Object.fromEntries(measures),
    wins,
    ties: pairs.length - wins - losses,
    losses,
    p: mcnemar(losses, wins),
    slices: Object.fromEntries(slices),
  };
}

function comparedBy(
  pairs: readonly Pair[],
  of: (row: Judged) => number | undefined,
  seed: number,
): Compared | undefined {
  const both = pairs.flatMap(([a, b]) => {
    const [x, y] = [of(a), of(b)];
    return x === undefined || y === undefined ? [] : [[x, y] as const];
  });
  if (both.length === 0) return undefined;
  const mean = (at: 0 | 1) => both.reduce((sum, pair) => sum + pair[at], 0) / both.length;
  return {
    first: mean(0),
    second: mean(1),
    ...pairedBootstrap(both.map(([x, y]) => y - x), { seed }),
  };
}

/** Rows below which an interval by resampling is narrower than the truth. */
export const FEWEST = 10;

/** Rows below which only a large difference can be told from chance. */
const FEW = 30;
/** The difference whose need of rows is told. */
const WORTH = 0.05;

/**
 * What the numbers say, in sentences: which is better, or that so many rows cannot tell, and how many could.
 */
export function verdict(
  { n, measures, wins, ties, losses, p, slices }: Comparison,
  [first, second]: readonly [string, string],
): string[] {
  const exact = measures.exact_match!, f1 = measures.slot_f1;
  const said: string[] = [];
  const share = (one: Compared, of: string) =>
    `${second} has ${percent(one.second)} of ${of} right, ${first} ${percent(one.first)}: ` +
    points(one);
  if (wins + losses > 0 && p < 0.05) {
    const [better, other] = wins > losses ? [second, first] : [first, second];
    const [most, least] = wins > losses ? [exact.second, exact.first] : [exact.first, exact.second];
    said.push(
      `${capital(better)} is better: ${percent(most)} of the answers right, ${other} ` +
        `${percent(least)}: ${points(exact)}, ${tiny(p)} by McNemar's test.`,
    );
  } else if (wins + losses > 0) {
    said.push(
      `${rows(n)} cannot tell them apart: ${share(exact, "the answers")}, ${
        tiny(p)
      } by McNemar's test.`,
    );
  } else if (exact.first > 0) {
    said.push(`Both have the same ${rows(Math.round(exact.first * n))} of ${n} right.`);
  } else if (f1 && f1.interval[0] * f1.interval[1] > 0) {
    said.push(`No answer is right as a whole; ${share(f1, "the slots (F1)")}.`);
  } else {
    said.push(`Neither gives one right answer to ${rows(n)}.`);
  }
  if (wins + losses > 0) {
    said.push(
      `${
        capital(second)
      } alone is right in ${wins}, ${first} alone in ${losses}, both alike in ${ties}.`,
    );
  }
  if (n < FEW) said.push(`${rows(n)} are few: only a large difference shows.`);
  if (wins + losses === 0) {
    // No event in n: the share that would be missed altogether in one of twenty samples.
    const most = 1 - 0.05 ** (1 / n);
    said.push(`They may still differ in up to ${percent(most)} of all rows (95 %).`);
  }
  if (exact.detectable > 0 && (p >= 0.05 || n < FEW)) {
    said.push(
      `So many rows show a true difference of ${
        (100 * exact.detectable).toFixed(0)
      } points in four ` +
        `cases of five; one of ${100 * WORTH} points needs about ${rowsFor(WORTH, exact, n)} rows.`,
    );
  }
  const parts = Object.values(slices).flatMap((values) => Object.values(values));
  const worse = Object.entries(slices).flatMap(([name, values]) =>
    Object.entries(values).filter(([, s]) =>
      s.n >= FEWEST && s.mean * exact.mean < 0 && s.interval[0] * s.interval[1] > 0
    )
      .map(([value, s]) => `${name} ${value} (${points(s)}, ${rows(s.n)})`)
  );
  if (worse.length > 0) {
    said.push(
      `The other way round in ${worse.join("; ")}` +
        (parts.length > 3
          ? `: of ${parts.length} slices one in twenty looks different by chance.`
          : "."),
    );
  }
  return said;
}

const rows = (n: number) => n === 1 ? "1 row" : `${n} rows`;
const signed = (n: number) => `${n < 0 ? "−" : "+"}${Math.abs(100 * n).toFixed(1)}`;
const tiny = (p: number) =>
  p < 0.0001 ? "p below 0.0001" : `p = ${p.toFixed(4).replace(/\.?0+$/, "")}`;
/** Of words, not of names. */
const capital = (text: string) => text.replace(/^the /, "The ");

const percent = (n: number) => `${(100 * n).toFixed(1)} %`;

/** "+23.4 points (95 % interval +15.0 to +31.7)". */
export function points({ mean, interval: [low, high] }: Compared): string {
  return `${signed(mean)} points (95 % interval ${signed(low)} to ${signed(high)})`;
}
