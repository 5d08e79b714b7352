import { isObject } from "../base/strict_json.ts";
import { canonicalJson, parseAnswer, sameAnswer } from "./metrics.ts";
import { confidenceOf, type Stated } from "./calibration.ts";
import { type Action, actionOf, type Thresholds } from "./routing.ts";
import { bodyOf, section } from "./sections.ts";
import type { Shown } from "./signs.ts";
import { answerF1 } from "./slots.ts";

/** One row as it was asked and answered. */
export interface Given {
  readonly line: number;
  readonly prompt: string;
  readonly expected: string;
  readonly predicted: string;
  readonly milliseconds?: number;
  /** How many the answer has. */
  readonly tokens?: number;
  /** Of the expected answer: the sum of its negative log-likelihood in nats, and its tokens. */
  readonly nll?: number;
  readonly targets?: number;
  /** What the row is one of, by the name of the slice. */
  readonly slices?: Readonly<Record<string, string>>;
}

/** What is right and wrong about it. */
export interface Judged extends Given {
  /** Parsed answers; undefined where one is not JSON. */
  readonly got: unknown;
  readonly want: unknown;
  /** The parts that were compared: the last section, or all. */
  readonly bodies: readonly [predicted: string, expected: string];
  readonly right: boolean;
  /** Right but for the confidence it states. */
  readonly sound: boolean;
  readonly json: boolean;
  /** What the schema finds wrong; undefined without a schema. */
  readonly problems?: readonly string[];
  /** Share of slots that agree; where an object is expected. */
  readonly f1?: number;
  readonly confidence?: number;
  readonly action: Action;
  readonly expectedAction: Action;
}

export interface Judging {
  /** Tags of the sections of an answer, that of its JSON last; empty where it has none. */
  readonly sections: readonly string[];
  readonly thresholds: Thresholds;
  readonly problems?: (answer: unknown) => readonly string[];
}

export function judge(given: Given, { sections, thresholds, problems }: Judging): Judged {
  const bodies = [bodyOf(given.predicted, sections), bodyOf(given.expected, sections)] as const;
  const [got, want] = [parseAnswer(bodies[0]), parseAnswer(bodies[1])];
  const confidence = confidenceOf(got?.value);
  return {
    ...given,
    got: got?.value,
    want: want?.value,
    bodies,
    right: sameAnswer(...bodies),
    sound: want === undefined
      ? sameAnswer(...bodies)
      : got !== undefined && canonicalJson(modest(got.value)) === canonicalJson(modest(want.value)),
    json: got !== undefined,
    ...(problems ? { problems: got ? problems(got.value) : ["not JSON"] } : {}),
    ...(isObject(want?.value) ? { f1: answerF1([got?.value, want.value]) } : {}),
    ...(confidence === undefined ? {} : { confidence }),
    action: actionOf(got?.value, thresholds),
    expectedAction: actionOf(want?.value, thresholds),
  };
}

/** The answer without what it says of its own certainty. */
export function modest(answer: unknown): unknown {
  if (!isObject(answer)) return answer;
  const { confidence: _, confidence_scores: __, ...rest } = answer;
  return rest;
}

/**
 * What calibration is measured on: each confidence beside whether the answer, its confidence aside, is
 * right; of `confidence_scores` each score that names a field, beside whether that field is.
 */
export function statedBy({ got, want, sound }: Judged): Stated[] {
  if (!isObject(got)) return [];
  if (typeof got.confidence !== "number" && isObject(got.confidence_scores) && isObject(want)) {
    const fields = Object.entries(got.confidence_scores).filter(([name, score]) =>
      name in want && typeof score === "number" && score >= 0 && score <= 1
    );
    if (fields.length > 0) {
      return fields.map(([name, score]) => ({
        confidence: score as number,
        right: canonicalJson(got[name]) === canonicalJson(want[name]),
      }));
    }
  }
  const confidence = confidenceOf(got);
  return confidence === undefined ? [] : [{ confidence, right: sound }];
}

/** Says by itself that it does not know: a clarification, or a confidence too low to act on. */
export const abstains = ({ got, action }: Judged) =>
  isObject(got) && confidenceOf(got) !== undefined && (action === "clarify" || action === "ask");

/** The same of what was expected. */
export const ought = ({ want, expectedAction }: Judged) =>
  confidenceOf(want) !== undefined && (expectedAction === "clarify" || expectedAction === "ask");

/** As the signs of pattern-matching see it. */
export function shown(row: Judged, sections: readonly string[]): Shown {
  const told = (text: string) =>
    Object.fromEntries(sections.slice(0, -1).map((tag) => [tag, section(text, tag) ?? ""]));
  return {
    got: row.got,
    want: row.want,
    right: row.sound,
    ...(sections.length > 1 ? { told: told(row.predicted), toldExpected: told(row.expected) } : {}),
  };
}
