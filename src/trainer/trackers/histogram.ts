/** How often values fall between limits. Values that are not finite are left out. */
export interface Histogram {
  readonly min: number;
  readonly max: number;
  readonly count: number;
  readonly sum: number;
  readonly squares: number;
  /** `counts.length + 1` rising limits; bin i holds limits[i] <= x < limits[i + 1], the last one its end too. */
  readonly limits: readonly number[];
  readonly counts: readonly number[];
}

/** Bins of equal width between the least and the greatest value. */
export function histogramOf(values: Float32Array, bins = 64): Histogram {
  let min = Infinity, max = -Infinity, count = 0, sum = 0, squares = 0;
  for (const x of values) {
    if (!Number.isFinite(x)) continue;
    if (x < min) min = x;
    if (x > max) max = x;
    sum += x;
    squares += x * x;
    count++;
  }
  if (count === 0) {
    return { min: 0, max: 0, count: 0, sum: 0, squares: 0, limits: [0, 1], counts: [0] };
  }
  if (min === max) {
    const width = Math.max(Math.abs(min) * 1e-6, 1e-12);
    return { min, max, count, sum, squares, limits: [min, min + width], counts: [count] };
  }
  const width = (max - min) / bins;
  const counts = new Array<number>(bins).fill(0);
  for (const x of values) {
    if (Number.isFinite(x)) counts[Math.min(bins - 1, Math.floor((x - min) / width))]!++;
  }
  const limits = Array.from({ length: bins }, (_, i) => min + i * width);
  return { min, max, count, sum, squares, limits: [...limits, max], counts };
}
