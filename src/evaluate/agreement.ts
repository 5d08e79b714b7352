import { parseAnswer, sameAnswer } from "./metrics.ts";
import { answerF1 } from "./slots.ts";

/**
 * How much an answer agrees with the ideal one, in [0, 1]. Two JSON values: F1 of their slots
 * (slots.ts). JSON is wanted and something else came: 0. Texts: F1 of their
 * words (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250).
 */
export function agreement(answer: string, ideal: string): number {
  if (sameAnswer(answer, ideal)) return 1;
  const want = parseAnswer(ideal), got = parseAnswer(answer);
  if (!want) return f1(words(answer), words(ideal));
  return got ? answerF1([got.value, want.value]) : 0;
}

/** An answer that a model gave. */
export interface Given {
  readonly text: string;
  /** The longest answer allowed ended it, not the model. */
  readonly cut: boolean;
}

export interface Rejected extends Given {
  /** Its agreement with the ideal. */
  readonly score: number;
}

/**
 * The answer to be rejected among several: the one that agrees least with the ideal ("worst"), or most
 * without being the same ("hardest"); the first of equals. Answers that were cut off serve only where no
 * other one differs; empty ones never.
 * @returns undefined where every answer is the ideal one, or empty
 */
export function rejectedOf(
  ideal: string,
  given: readonly Given[],
  which: "worst" | "hardest",
): Rejected | undefined {
  const differing = given.filter(({ text }) => text.trim() !== "" && !sameAnswer(text, ideal));
  const whole = differing.filter(({ cut }) => !cut);
  const scored = (whole.length > 0 ? whole : differing)
    .map((one) => ({ ...one, score: agreement(one.text, ideal) }));
  const sign = which === "worst" ? 1 : -1;
  return scored.toSorted((a, b) => sign * (a.score - b.score))[0];
}

const words = (text: string) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];

/** 2 × what both have / what either has, each counted as often as it occurs. */
function f1(a: readonly string[], b: readonly string[]): number {
  const left = new Map<string, number>();
  for (const one of a) left.set(one, (left.get(one) ?? 0) + 1);
  let common = 0;
  for (const one of b) {
    const n = left.get(one) ?? 0;
    if (n > 0) common++;
    left.set(one, n - 1);
  }
  return a.length + b.length === 0 ? 0 : (2 * common) / (a.length + b.length);
}
