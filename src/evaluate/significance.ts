import { block } from "../base/random.ts";

/** What a difference between two models on the same rows is worth. */

/** Standard normal quantile at 0.975: of 95 % intervals. */
const Z95 = 1.959963984540054;
/** The same at 0.8: of a chance of 80 % to see what is there. */
const Z80 = 0.8416212335729143;

export type Interval = readonly [low: number, high: number];

/** Wilson's 95 % interval (1927) of a share. */
export function wilson(right: number, n: number, z = Z95): Interval {
  if (n === 0) return [0, 1];
  const p = right / n, zz = z * z;
  const middle = (p + zz / (2 * n)) / (1 + zz / n);
  const half = (z / (1 + zz / n)) * Math.sqrt((p * (1 - p)) / n + zz / (4 * n * n));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

/**
 * McNemar's exact test (1947): the two-sided probability of so uneven a split of the rows that only one of
 * the two models has right, were both equally good. 1 where there are none.
 */
export function mcnemar(onlyA: number, onlyB: number): number {
  const n = onlyA + onlyB;
  // The terms C(n, k) / 2^n of the binomial's tail, by their logarithms: 2^-n underflows from 1,075 on.
  let log = -n * Math.LN2, sum = 0;
  for (let k = 0; k <= Math.min(onlyA, onlyB); k++) {
    sum += Math.exp(log);
    log += Math.log((n - k) / (k + 1));
  }
  return Math.min(1, 2 * sum);
}

export interface Difference {
  /** Mean of second minus first. */
  readonly mean: number;
  /** 95 % of the resampled means lie in it. */
  readonly interval: Interval;
  /** Two-sided: how often resampled means fall on the other side of zero. */
  readonly p: number;
  /** The smallest true difference that so many rows, as different as these are, show with a chance of 80 %. */
  readonly detectable: number;
}

/**
 * The paired bootstrap (Efron 1979; Koehn 2004 for two systems on the same rows): rows are drawn with
 * replacement, both models on the same ones, and the percentiles of the mean difference are read off.
 * @param differences second minus first for each row
 */
export function pairedBootstrap(
  differences: readonly number[],
  { resamples = 10_000, seed = 0 }: { resamples?: number; seed?: number } = {},
): Difference {
  const n = differences.length;
  if (n === 0) return { mean: NaN, interval: [NaN, NaN], p: NaN, detectable: NaN };
  const mean = differences.reduce((a, b) => a + b, 0) / n;
  const variance = differences.reduce((sum, d) => sum + (d - mean) ** 2, 0) / Math.max(1, n - 1);
  const detectable = (Z95 + Z80) * Math.sqrt(variance / n);
  if (differences.every((d) => d === 0)) return { mean: 0, interval: [0, 0], p: 1, detectable: 0 };
  const means = new Float64Array(resamples);
  let below = 0, above = 0;
  for (let r = 0; r < resamples; r++) {
    let sum = 0;
    for (let i = 0; i < n; i += 4) {
      const words = block(seed, r, i / 4);
      for (let k = 0; k < Math.min(4, n - i); k++) {
        sum += differences[Math.floor(words[k]! * 2 ** -32 * n)]!;
      }
    }
    means[r] = sum / n;
    if (sum <= 0) below++;
    if (sum >= 0) above++;
  }
  means.sort();
  const at = (share: number) => {
    const place = share * (resamples - 1), low = Math.floor(place);
    const next = means[Math.min(low + 1, resamples - 1)]!;
    return means[low]! + (place - low) * (next - means[low]!);
  };
  return {
    mean,
    interval: [at(0.025), at(0.975)],
    p: Math.min(1, (2 * (Math.min(below, above) + 1)) / (resamples + 1)),
    detectable,
  };
}

/** How many rows would show a difference of `delta` with a chance of 80 %, of the kind that was measured. */
export function rowsFor(delta: number, { detectable }: Difference, n: number): number {
  return Math.ceil(n * (detectable / delta) ** 2);
}
