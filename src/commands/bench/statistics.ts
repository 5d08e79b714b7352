/** What repeated measurements of one thing say. */
export interface Summary {
  readonly n: number;
  readonly median: number;
  /** The smallest: what the machine does when nothing else disturbs it. */
  readonly best: number;
  readonly mean: number;
  /** Sample standard deviation, with n - 1; 0 for one sample. */
  readonly deviation: number;
}

/**
 * The value below which a share of the samples lies, between neighbours by straight line (type 7 of
 * Hyndman and Fan 1996, what NumPy does).
 * @param share 0 to 1
 * @throws RangeError without samples
 */
export function quantile(samples: readonly number[], share: number): number {
  if (samples.length === 0) throw new RangeError("a quantile of no samples");
  const sorted = samples.toSorted((a, b) => a - b);
  const at = share * (sorted.length - 1), below = Math.floor(at);
  const low = sorted[below]!, high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (at - below) * (high - low);
}

/** @throws RangeError without samples */
export function summary(samples: readonly number[]): Summary {
  const n = samples.length, median = quantile(samples, 0.5);
  const mean = samples.reduce((a, b) => a + b, 0) / n;
  const squares = samples.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  const deviation = n > 1 ? Math.sqrt(squares / (n - 1)) : 0;
  return { n, median, best: samples.reduce((a, b) => Math.min(a, b)), mean, deviation };
}
