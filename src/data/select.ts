import { Exit, Fail } from "../base/fail.ts";
import { plural } from "../base/text.ts";

/** What there is to train from. */
export interface Available {
  /** Answers that somebody approved, or rows with answers. */
  readonly approved: number;
  /** Pairs of two different answers to one prompt. */
  readonly pairs: number;
  readonly triplets: number;
}

/** How much is needed of each. */
export interface Minimums {
  readonly sft: number;
  readonly dpo: number;
  readonly triplets: number;
}

export type ModelType = "llm" | "embedding";
export type Method = "dpo" | "sft" | "embedding";

export interface Analysis {
  readonly recommended_method: Method | "insufficient";
  /**
   * From 0 to 1. Of a method: 0.5 where the rows are just enough, 1 from twice as many. Of
   * "insufficient": what is missing of the nearest minimum.
   */
  readonly confidence: number;
  readonly reason: string;
  readonly approved_examples: number;
  readonly preference_pairs: number;
  readonly triplets: number;
  readonly minimums: Minimums;
}

/**
 * Which training suits what there is: preferences where there are enough pairs, else examples where there
 * are enough of those; triplets for an embedding model.
 */
export function analyse(found: Available, least: Minimums, model: ModelType): Analysis {
  const { approved, pairs, triplets } = found;
  const counts = {
    approved_examples: approved,
    preference_pairs: pairs,
    triplets,
    minimums: least,
  };
  const ways: readonly { method: Method; n: number; min: number; what: string }[] =
    model === "embedding"
      ? [{ method: "embedding", n: triplets, min: least.triplets, what: "triplets" }]
      : [
        { method: "dpo", n: pairs, min: least.dpo, what: "preference pairs" },
        { method: "sft", n: approved, min: least.sft, what: "approved examples" },
      ];
  const way = ways.find(({ n, min }) => n >= min);
  const round = (n: number) => Math.round(n * 1000) / 1000;
  if (way) {
    const { method, n, min, what } = way;
    return {
      recommended_method: method,
      confidence: round(Math.min(1, n / (2 * min))),
      reason: `${n} ${what} >= ${min}`,
      ...counts,
    };
  }
  const nearest = Math.max(...ways.map(({ n, min }) => n / min));
  return {
    recommended_method: "insufficient",
    confidence: round(1 - nearest),
    reason: ways.map(({ n, min, what }) => `${n} ${what} < ${min}`).join(", "),
    ...counts,
  };
}

/** The documented words for what is missing. */
export function insufficient(analysis: Analysis, method: Method): string {
  const { preference_pairs, approved_examples, triplets, minimums } = analysis;
  switch (method) {
    case "dpo":
      return `Insufficient preference pairs: ${preference_pairs} < ${minimums.dpo}. ` +
        "Need spans with both approved and rejected annotations.";
    case "sft":
      return `Insufficient approved examples: ${approved_examples} < ${minimums.sft}. ` +
        "Need spans with approved annotations.";
    case "embedding":
      return `Insufficient triplets: ${triplets} < ${minimums.triplets}. ` +
        "Need search spans with relevance feedback.";
  }
}

/** Why pairs are seldom there although people judged much. */
export const WHY_FEW_PAIRS =
  "Phoenix keeps one annotation for each name, span and identifier, and writes a second one over it: " +
  "both verdicts stay on a span only under two names or identifiers, or on two spans with the same prompt";

/**
 * The error where there is too little of everything.
 * @param more what could be done besides, to be typed
 */
export function tooLittle(analysis: Analysis, model: ModelType, more?: string): Fail {
  if (model === "embedding") {
    return new Fail(insufficient(analysis, "embedding"), {
      why: `${plural(analysis.triplets, "triplet")} can be made of what is there`,
      fix: more ?? "collect more clicks and relevance judgements, or lower --min-triplets",
      exit: Exit.data,
    });
  }
  return new Fail(insufficient(analysis, "dpo"), {
    why: `${insufficient(analysis, "sft")}\n${WHY_FEW_PAIRS}`,
    fix: more ?? "Generate synthetic or collect more data; or lower --min-sft and --min-dpo",
    exit: Exit.data,
  });
}
