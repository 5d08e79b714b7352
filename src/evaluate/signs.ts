import { isObject } from "../base/strict_json.ts";
import { canonicalJson } from "./metrics.ts";
import { confidenceOf, type Stated } from "./calibration.ts";

/**
 * Signs that a model repeats a pattern instead of understanding: valid JSON with wrong values, a
 * confidence that never changes, assumptions that are a template, the same sentences for every question.
 */
export interface Signs {
  /** Share of all answers that are JSON and yet wrong. */
  readonly valid_but_wrong: number;
  /** Share of the wrong answers whose confidence is 0.9 or more; of those that state one. */
  readonly confident_when_wrong?: number;
  /** How many those are. */
  readonly wrong_with_confidence: number;
  readonly confidence?: Spread;
  /** The same of the rows' own answers, where they state one. */
  readonly confidence_expected?: Spread;
  /** By field (assumptions_applied) or section (reasoning): how often it repeats that of another answer. */
  readonly repeated: Readonly<Record<string, Repetition>>;
}

export interface Spread {
  readonly n: number;
  readonly mean: number;
  /** Of the population: divided by n. */
  readonly variance: number;
  /** Share of the answers that say the value said most often. */
  readonly most_common: number;
}

export interface Repetition {
  readonly n: number;
  /** 1 − distinct values / values. */
  readonly rate: number;
  /** The same of the rows' own answers. */
  readonly expected: number;
}

/** An answer as far as the signs need it. */
export interface Shown {
  /** Parsed; undefined where the answer is not JSON. */
  readonly got: unknown;
  readonly want: unknown;
  readonly right: boolean;
  /** Texts of the sections, by tag. */
  readonly told?: Readonly<Record<string, string>>;
  readonly toldExpected?: Readonly<Record<string, string>>;
}

/** Confidence below which a wrong answer did not claim to be sure. */
const SURE = 0.9;

export function signs(answers: readonly Shown[]): Signs {
  const stated = answers.flatMap(({ got, right }): Stated[] => {
    const confidence = confidenceOf(got);
    return confidence === undefined ? [] : [{ confidence, right }];
  });
  const wrong = stated.filter(({ right }) => !right);
  const expected = answers.flatMap(({ want }) => confidenceOf(want) ?? []);
  const valid = answers.filter(({ got, right }) => got !== undefined && !right).length;
  return {
    valid_but_wrong: answers.length === 0 ? 0 : valid / answers.length,
    wrong_with_confidence: wrong.length,
    ...(wrong.length === 0 ? {} : {
      confident_when_wrong: wrong.filter((s) => s.confidence >= SURE).length / wrong.length,
    }),
    ...(stated.length === 0 ? {} : { confidence: spread(stated.map((s) => s.confidence)) }),
    ...(expected.length === 0 ? {} : { confidence_expected: spread(expected) }),
    repeated: Object.fromEntries(
      assumptionsIn(answers).map((field) =>
        [
          field,
          repetition(
            answers.flatMap(({ got }) => listOf(got, field)),
            answers.flatMap(({ want }) => listOf(want, field)),
          ),
        ] as const
      ).concat(
        sectionsIn(answers).map((tag) => [
          tag,
          repetition(
            answers.flatMap(({ told }) => told?.[tag] || []),
            answers.flatMap(({ toldExpected }) => toldExpected?.[tag] || []),
          ),
        ]),
      ).filter(([, { n }]) => n > 1),
    ),
  };
}

/** What the signs say, one sentence each; nothing where there is no cause. */
export function warnings(of: Signs): string[] {
  const found: string[] = [];
  const percent = (share: number) => `${Math.round(100 * share)} %`;
  const { confidence, confidence_expected: rows, confident_when_wrong: sure } = of;
  if (confidence && confidence.n >= 10 && confidence.most_common >= 0.95) {
    found.push(
      rows && rows.most_common >= 0.95
        ? `the confidence is the same in ${
          percent(confidence.most_common)
        } of the answers, and in ` +
          `${percent(rows.most_common)} of the rows: the data teach nothing about it`
        : `the confidence is the same in ${
          percent(confidence.most_common)
        } of the answers: it says ` +
          "nothing about the question",
    );
  }
  if (sure !== undefined && sure >= 0.5 && of.wrong_with_confidence >= 5) {
    found.push(
      `${
        percent(sure)
      } of ${of.wrong_with_confidence} wrong answers claim a confidence of ${SURE} or more`,
    );
  }
  for (const [name, { n, rate, expected }] of Object.entries(of.repeated)) {
    if (n < 10 || rate < 0.5 || rate < expected + 0.1) continue;
    found.push(
      `${name} repeats that of another answer in ${percent(rate)} of ${n} values, in ` +
        `${percent(expected)} of the rows' own: a template rather than a thought`,
    );
  }
  return found;
}

function spread(values: readonly number[]): Spread {
  const n = values.length, mean = values.reduce((a, b) => a + b, 0) / n;
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return {
    n,
    mean,
    variance: values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / n,
    most_common: Math.max(...counts.values()) / n,
  };
}

function repetition(values: readonly string[], expected: readonly string[]): Repetition {
  const rate = (list: readonly string[]) => {
    const plain = list.map((text) => text.toLowerCase().replace(/\s+/gu, " ").trim());
    return list.length === 0 ? 0 : 1 - new Set(plain).size / list.length;
  };
  return { n: values.length, rate: rate(values), expected: rate(expected) };
}

/** Fields of the references that hold assumptions: lists whose name says so. */
const assumptionsIn = (answers: readonly Shown[]) => [
  ...new Set(
    answers.flatMap(({ want }) =>
      isObject(want)
        ? Object.keys(want).filter((key) => /assumption/i.test(key) && Array.isArray(want[key]))
        : []
    ),
  ),
];

const sectionsIn = (answers: readonly Shown[]) => [
  ...new Set(answers.flatMap(({ toldExpected }) => Object.keys(toldExpected ?? {}))),
];

/** All elements of a list field as one text; none where it is empty or no list. */
function listOf(answer: unknown, field: string): string[] {
  const list = isObject(answer) ? answer[field] : undefined;
  return Array.isArray(list) && list.length > 0 ? [list.map(canonicalJson).sort().join("\n")] : [];
}
