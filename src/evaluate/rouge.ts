import type { F1 } from "./slots.ts";

/**
 * ROUGE (Lin 2004) of texts against one reference each, as the rouge-score package computes it without
 * stemming, but letters of every script count: words are runs of letters and digits in lower case.
 */
export function words(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

/** ROUGE-N: n-grams in common, each as often as both have it. */
export function rougeN(predicted: string, expected: string, n: number): F1 {
  const given = grams(words(predicted), n), wanted = grams(words(expected), n);
  let common = 0;
  for (const [gram, count] of given) common += Math.min(count, wanted.get(gram) ?? 0);
  return scores(common, size(given), size(wanted));
}

/** ROUGE-L: the longest common subsequence of words, over the whole text. */
export function rougeL(predicted: string, expected: string): F1 {
  const given = words(predicted), wanted = words(expected);
  let above = new Uint32Array(wanted.length + 1), row = new Uint32Array(wanted.length + 1);
  for (const word of given) {
    for (let j = 1; j <= wanted.length; j++) {
      row[j] = word === wanted[j - 1] ? above[j - 1]! + 1 : Math.max(above[j]!, row[j - 1]!);
    }
    [above, row] = [row, above];
  }
  return scores(above.at(-1)!, given.length, wanted.length);
}

/** The mean F1 of each over pairs of texts; NaN for none. */
export function rouge(pairs: readonly (readonly [predicted: string, expected: string])[]) {
  const mean = (of: (predicted: string, expected: string) => F1) =>
    pairs.reduce((sum, [a, b]) => sum + of(a, b).f1, 0) / pairs.length;
  return {
    rouge1: mean((a, b) => rougeN(a, b, 1)),
    rouge2: mean((a, b) => rougeN(a, b, 2)),
    rougeL: mean(rougeL),
  };
}

function grams(words: readonly string[], n: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i + n <= words.length; i++) {
    const gram = words.slice(i, i + n).join(" ");
    counts.set(gram, (counts.get(gram) ?? 0) + 1);
  }
  return counts;
}

const size = (grams: ReadonlyMap<string, number>) => [...grams.values()].reduce((a, b) => a + b, 0);

function scores(common: number, given: number, wanted: number): F1 {
  const precision = given === 0 ? 0 : common / given, recall = wanted === 0 ? 0 : common / wanted;
  const sum = precision + recall;
  return { precision, recall, f1: sum === 0 ? 0 : (2 * precision * recall) / sum };
}
