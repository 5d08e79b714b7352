import { isObject } from "../base/strict_json.ts";

/** How far the confidence that answers state can be believed. */

/** An answer's confidence in [0, 1], and whether it was right. */
export interface Stated {
  readonly confidence: number;
  readonly right: boolean;
}

/** The answers whose confidence lies in [low, high), the last interval with its end. */
export interface Bin {
  readonly low: number;
  readonly high: number;
  readonly n: number;
  /** Mean of the stated confidences; NaN where n is 0. */
  readonly confidence: number;
  /** Share that was right; NaN where n is 0. */
  readonly accuracy: number;
}

/** The confidence of a parsed answer: of several (`confidence_scores`) the lowest. */
export function confidenceOf(answer: unknown): number | undefined {
  if (!isObject(answer)) return undefined;
  const fits = (n: unknown): n is number => typeof n === "number" && n >= 0 && n <= 1;
  if (fits(answer.confidence)) return answer.confidence;
  const scores = answer.confidence_scores;
  if (!isObject(scores)) return undefined;
  const all = Object.values(scores);
  return all.length > 0 && all.every(fits) ? Math.min(...all) : undefined;
}

/** The points of a reliability diagram (Niculescu-Mizil and Caruana 2005), empty intervals included. */
export function reliability(answers: readonly Stated[], bins = 10): Bin[] {
  const sums = Array.from({ length: bins }, () => ({ n: 0, right: 0, confidence: 0 }));
  for (const { confidence, right } of answers) {
    const bin = sums[Math.min(bins - 1, Math.max(0, Math.floor(confidence * bins)))]!;
    bin.n++;
    bin.right += right ? 1 : 0;
    bin.confidence += confidence;
  }
  return sums.map(({ n, right, confidence }, i) => ({
    low: i / bins,
    high: (i + 1) / bins,
    n,
    confidence: confidence / n,
    accuracy: right / n,
  }));
}

/**
 * Expected calibration error (Naeini et al. 2015): the gap between stated confidence and accuracy,
 * in `bins` equal intervals of confidence, weighted by how many answers fall in each; NaN for none.
 */
export function expectedCalibrationError(answers: readonly Stated[], bins = 10): number {
  const gap = reliability(answers, bins).filter(({ n }) => n > 0)
    .reduce((sum, { n, confidence, accuracy }) => sum + n * Math.abs(accuracy - confidence), 0);
  return answers.length === 0 ? NaN : gap / answers.length;
}

/** Brier's score (1950): mean squared distance of confidence from 1 where right, from 0 where wrong. */
export function brierScore(answers: readonly Stated[]): number {
  const sum = answers.reduce((sum, { confidence, right }) => sum + (confidence - +right) ** 2, 0);
  return answers.length === 0 ? NaN : sum / answers.length;
}
