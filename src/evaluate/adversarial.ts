import { isObject } from "../base/strict_json.ts";
import { canonicalJson } from "./metrics.ts";
import { confidenceOf } from "./calibration.ts";
import { type Judged, modest } from "./judge.ts";

/** What a good answer to an adversarial row does; src/data/adversarial.ts says what each part means. */
export interface Expected {
  readonly answer: "clarification" | "abstain" | "low_confidence" | "answer" | "any";
  readonly confidence_below?: number;
  readonly equals?: Readonly<Record<string, unknown>>;
  readonly suggests?: readonly string[];
  readonly mentions?: readonly string[];
  readonly without?: readonly string[];
  readonly differs_from?: string;
  readonly differs_in?: readonly string[];
}

export interface Trial {
  readonly id: string;
  readonly kind: string;
  readonly pair?: string;
  readonly expect: Expected;
  readonly answer: Judged;
}

export interface Tried extends Trial {
  /** What is wrong with the answer; it passed where there is nothing. */
  readonly flaws: readonly string[];
  /** What would have been better and is not counted. */
  readonly hints: readonly string[];
}

/** How adversarial rows were answered. Shares are in [0, 1]. */
export interface AdversarialMeasures {
  readonly n: number;
  readonly passed: number;
  readonly kinds: Readonly<Record<string, { readonly n: number; readonly passed: number }>>;
  /** Of rows that mean nothing here: answered by asking back, doubting or refusing. */
  readonly abstention?: number;
  /** Of the same rows: answered by JSON with a confidence of 0.9 or more that would be carried out. */
  readonly confident_nonsense?: number;
  /** Of pairs that differ in a word: answered differently where they must be. */
  readonly pairs?: number;
}

/** Kinds of rows that nothing can be done with. */
const NONSENSE = ["minimal", "unknown_term", "off_domain", "off_topic", "unclear_intent"];

const DOUBT = 0.5;

/**
 * Holds every answer against its expectation.
 * @param typed whether answers say by their `type` that they are clarifications
 */
export function tryAll(trials: readonly Trial[], typed: boolean): Tried[] {
  const byId = new Map(trials.map((trial) => [trial.id, trial.answer]));
  return trials.map((trial) => {
    const { expect, answer } = trial;
    const other = expect.differs_from === undefined ? undefined : byId.get(expect.differs_from);
    return {
      ...trial,
      flaws: flawsOf(answer, expect, typed, other),
      hints: hintsOf(answer, expect),
    };
  });
}

export function adversarialMeasures(tried: readonly Tried[]): AdversarialMeasures {
  const passed = ({ flaws }: Tried) => flaws.length === 0;
  const share = (of: readonly Tried[], holds: (one: Tried) => boolean) =>
    of.filter(holds).length / of.length;
  const kinds = [...new Set(tried.map(({ kind }) => kind))];
  const nonsense = tried.filter(({ kind }) => NONSENSE.includes(kind));
  const pairs = tried.filter(({ expect }) => expect.differs_from !== undefined);
  return {
    n: tried.length,
    passed: tried.length === 0 ? 0 : share(tried, passed),
    kinds: Object.fromEntries(kinds.map((kind) => {
      const part = tried.filter((one) => one.kind === kind);
      return [kind, { n: part.length, passed: share(part, passed) }];
    })),
    ...(nonsense.length === 0 ? {} : {
      abstention: share(nonsense, ({ answer }) => abstained(answer, DOUBT)),
      confident_nonsense: share(
        nonsense,
        ({ answer }) => (confidenceOf(answer.got) ?? 0) >= 0.9 && !clarifies(answer),
      ),
    }),
    ...(pairs.length === 0 ? {} : { pairs: share(pairs, passed) }),
  };
}

function flawsOf(
  answer: Judged,
  expect: Expected,
  typed: boolean,
  other: Judged | undefined,
): string[] {
  const { got, predicted, problems = [] } = answer;
  const confidence = confidenceOf(got), most = expect.confidence_below;
  const flaws: string[] = [];
  switch (typed || expect.answer !== "clarification" ? expect.answer : "abstain") {
    case "clarification":
      if (!clarifies(answer)) flaws.push("does not ask back");
      break;
    case "abstain":
      if (!abstained(answer, most ?? DOUBT)) flaws.push("answers what nothing can be done with");
      break;
    case "low_confidence":
      if (most === undefined && !abstained(answer, DOUBT)) flaws.push("is not in doubt");
      break;
    case "answer":
      if (!isObject(got)) flaws.push("gives no answer");
      else if (clarifies(answer)) flaws.push("asks back where it could answer");
      else if (problems.length > 0) flaws.push(problems[0]!);
      break;
    case "any":
  }
  if (expect.equals && canonicalJson(modest(got)) !== canonicalJson(modest(expect.equals))) {
    flaws.push(`is not ${canonicalJson(modest(expect.equals))}`);
  }
  if (most !== undefined && (confidence ?? 0) >= most) {
    flaws.push(`states a confidence of ${confidence}, not below ${most}`);
  }
  if (most !== undefined && confidence === undefined && !abstained(answer, most)) {
    flaws.push("states no confidence and does not abstain");
  }
  for (const text of expect.without ?? []) {
    if (predicted.toLowerCase().includes(text.toLowerCase())) flaws.push(`says "${text}"`);
  }
  if (!suggestsOne(got, expect.suggests)) {
    flaws.push(`suggests none of ${expect.suggests!.join(", ")}`);
  }
  if (other && !differs(answer, other, expect.differs_in)) {
    const fields = expect.differs_in?.join(", ");
    flaws.push(`is the same as that of ${expect.differs_from}${fields ? ` in ${fields}` : ""}`);
  }
  return flaws;
}

function hintsOf({ predicted }: Judged, { mentions }: Expected): string[] {
  const named = mentions?.some((text) => predicted.toLowerCase().includes(text.toLowerCase()));
  return named === false ? [`does not mention ${mentions!.join(", ")}`] : [];
}

const clarifies = ({ got }: Judged) => isObject(got) && got.type === "clarification";

/** Asks back, is in doubt, or says something that is no JSON; JSON that is broken is no refusal. */
function abstained(answer: Judged, below: number): boolean {
  const confidence = confidenceOf(answer.got);
  if (!isObject(answer.got)) return !/^[[{]/.test(answer.bodies[0]);
  return clarifies(answer) || (confidence !== undefined && confidence < below);
}

/** Holds where there is nothing to suggest, or no suggestion at all. */
function suggestsOne(got: unknown, wanted: readonly string[] | undefined): boolean {
  const given = isObject(got) && Array.isArray(got.suggestions) ? got.suggestions : [];
  if (wanted === undefined || given.length === 0) return true;
  return given.some((one) => isObject(one) && wanted.includes(`${one.command} ${one.subcommand}`));
}

/** In one of the fields at least; anywhere where none are named. */
function differs(a: Judged, b: Judged, fields: readonly string[] | undefined): boolean {
  if (!isObject(a.got) || !isObject(b.got)) return a.predicted !== b.predicted;
  if (!fields) return canonicalJson(a.got) !== canonicalJson(b.got);
  return fields.some((path) => canonicalJson(at(a.got, path)) !== canonicalJson(at(b.got, path)));
}

/** The value at a dotted path; null where there is none. */
function at(value: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>((v, key) => isObject(v) ? v[key] : undefined, value) ??
    null;
}
