import { isObject } from "../base/strict_json.ts";

/**
 * The form of adversarial rows, one JSON object a line: what is asked, and what a good answer does. They
 * have no answer to be trained on; `expect` says what an evaluation looks for.
 *
 *     {"id": "minimal-3", "kind": "minimal", "instruction": "bed", "context": null,
 *      "expect": {"answer": "clarification", "confidence_below": 0.7, "suggests": ["bed sow"]},
 *      "why": "a command without a subcommand"}
 *     {"id": "contrast-1-a", "kind": "contrast", "pair": "contrast-1", "instruction": "Show me accounts",
 *      "context": null, "expect": {"answer": "any", "differs_from": "contrast-1-b",
 *      "differs_in": ["confidence_scores", "role_assumption"]}, "why": "\"my\" provides signal"}
 *
 * `instruction` and `context` are put to a model as those of generated rows are: the instruction, and on a
 * line of its own the context as JSON unless it is null.
 */
export interface AdversarialRow {
  /** Unique in its file. */
  readonly id: string;
  readonly kind: AdversarialKind;
  readonly instruction: string;
  readonly context: Readonly<Record<string, unknown>> | null;
  readonly expect: Expectation;
  /** Shared by the two rows of a pair, which stand one after the other. */
  readonly pair?: string;
  /** What is tried, in words. */
  readonly why: string;
}

export const ADVERSARIAL_KINDS = [
  /** One word, or two. */
  "minimal",
  /** Words that nobody uses. */
  "unknown_term",
  /** What no such program does. */
  "off_domain",
  /** Two requests that differ in a word, and whose answers must differ. */
  "contrast",
  /** "this", "it", or nothing at all, with the context that says what is meant and without it. */
  "context",
  /** Text that gives orders to the model. */
  "injection",
  // The six reasons why a request cannot be carried out as it stands.
  "ambiguous_command",
  "missing_argument",
  "unclear_intent",
  "off_topic",
  "multiple_interpretations",
  "ambiguous_typo",
] as const;
export type AdversarialKind = (typeof ADVERSARIAL_KINDS)[number];

export const EXPECTED = ["clarification", "abstain", "low_confidence", "answer", "any"] as const;

/** What a good answer does. All that is named here must hold. */
export interface Expectation {
  /**
   * - clarification: an object whose `type` is "clarification"; of schemas without such a type, as abstain
   * - abstain: a clarification, or a stated confidence below `confidence_below` (0.5 where it is unset), or
   *   no JSON object at all: nothing that a program would carry out
   * - low_confidence: whatever it says, the confidence is below `confidence_below`
   * - answer: an answer that can be carried out: that of `equals` where there is one, confidence aside
   * - any: only the other fields count
   */
  readonly answer: (typeof EXPECTED)[number];
  /** The stated confidence is below this; an answer that states none passes where it abstains. */
  readonly confidence_below?: number;
  /** The answer, confidence aside. */
  readonly equals?: Readonly<Record<string, unknown>>;
  /** Of these "command subcommand" at least one should be among the suggestions, where there are any. */
  readonly suggests?: readonly string[];
  /** A clarification should name one of these, such as the unknown term; less strict than the rest. */
  readonly mentions?: readonly string[];
  /** None of these texts may occur in the answer. */
  readonly without?: readonly string[];
  /** The id of a row whose answer must be another one. */
  readonly differs_from?: string;
  /** Top-level or dotted fields, one of which at least must differ; any difference where it is unset. */
  readonly differs_in?: readonly string[];
}

/** Reads one row. @returns the row, or what is wrong with it */
export function readAdversarial(value: unknown): AdversarialRow | { readonly problem: string } {
  if (!isObject(value)) return { problem: "a row must be a JSON object" };
  const { id, kind, instruction, context = null, expect, pair, why } = value;
  const no = (problem: string) => ({ problem });
  if (typeof id !== "string" || id === "") return no("id must be a text");
  if (!ADVERSARIAL_KINDS.includes(kind as AdversarialKind)) {
    return no(`kind is ${JSON.stringify(kind)}; kinds are ${ADVERSARIAL_KINDS.join(", ")}`);
  }
  if (typeof instruction !== "string" || instruction.trim() === "") {
    return no("instruction must be a text");
  }
  if (context !== null && !isObject(context)) return no("context must be an object or null");
  if (pair !== undefined && typeof pair !== "string") return no("pair must be a text");
  if (!isObject(expect)) return no("expect must be an object");
  const flaw = expectationFlaw(expect);
  if (flaw) return no(`expect.${flaw}`);
  return {
    id,
    kind: kind as AdversarialKind,
    instruction,
    context,
    expect: expect as unknown as Expectation,
    ...(pair === undefined ? {} : { pair }),
    why: typeof why === "string" ? why : "",
  };
}

function expectationFlaw(expect: Readonly<Record<string, unknown>>): string | undefined {
  const texts = (value: unknown) =>
    Array.isArray(value) && value.every((one) => typeof one === "string");
  const rules: Readonly<Record<string, (value: unknown) => boolean>> = {
    answer: (value) => EXPECTED.includes(value as Expectation["answer"]),
    confidence_below: (value) => typeof value === "number" && value >= 0 && value <= 1,
    equals: isObject,
    suggests: texts,
    mentions: texts,
    without: texts,
    differs_from: (value) => typeof value === "string",
    differs_in: texts,
  };
  if (!("answer" in expect)) return "answer is missing";
  const wrong = Object.entries(expect).find(([key, value]) => !rules[key]?.(value));
  if (!wrong) return undefined;
  return rules[wrong[0]] ? `${wrong[0]} is ${JSON.stringify(wrong[1])}` : `${wrong[0]} is unknown`;
}

/** The tests of the CCP trainings, word for word; they speak of accounts, deals and roles. */
export const CCP_SUITE: readonly AdversarialRow[] = [
  {
    id: "ccp-accounts",
    kind: "minimal",
    instruction: "accounts",
    context: null,
    expect: { answer: "clarification", confidence_below: 0.5 },
    why: "Too minimal to infer context",
  },
  {
    id: "ccp-zorbax",
    kind: "unknown_term",
    instruction: "Show me the zorbax metrics",
    context: null,
    expect: { answer: "low_confidence", confidence_below: 0.5, mentions: ["zorbax"] },
    why: "Made-up jargon",
  },
  {
    id: "ccp-weather",
    kind: "off_domain",
    instruction: "What's the weather?",
    context: null,
    expect: { answer: "abstain", confidence_below: 0.5 },
    why: "Non-GTM request",
  },
  ...(["Show me accounts", "Show me my accounts"] as const).map((instruction, i) => ({
    id: `ccp-role-${"ab"[i]}`,
    kind: "contrast" as const,
    pair: "ccp-role",
    instruction,
    context: null,
    expect: {
      answer: "any" as const,
      differs_from: `ccp-role-${"ba"[i]}`,
      differs_in: ["confidence_scores", "role_assumption"],
    },
    why: '"my" provides signal',
  })),
];
