/** Lengths above this are counted in steps. */
const EXACT = 4096;
const STEP = 64;

/** How long rows are: exact to 4,096, above that rounded up to 64; memory does not grow with the rows. */
export class Lengths {
  #counts = new Map<number, number>();
  #sorted: [length: number, count: number][] | undefined;
  count = 0;
  total = 0;
  longest = 0;

  add(length: number): void {
    const rounded = length <= EXACT ? length : STEP * Math.ceil(length / STEP);
    this.#counts.set(rounded, (this.#counts.get(rounded) ?? 0) + 1);
    this.#sorted = undefined;
    this.count++;
    this.total += length;
    this.longest = Math.max(this.longest, length);
  }

  /** The least length that `share` of the rows do not exceed; 0 without rows. */
  quantile(share: number): number {
    let seen = 0;
    for (const [length, count] of this.#ascending()) {
      seen += count;
      if (seen >= share * this.count) return Math.min(length, this.longest);
    }
    return 0;
  }

  /** Rows longer than `limit`. */
  over(limit: number): number {
    return this.#ascending().reduce((sum, [n, count]) => n > limit ? sum + count : sum, 0);
  }

  /** Equal steps from 0 to the longest row: rows longer than `from` and no longer than `to`. */
  bins(most = 12): { readonly from: number; readonly to: number; readonly count: number }[] {
    const step = niceStep(this.longest / most);
    const bins = Array.from(
      { length: Math.max(1, Math.ceil(this.longest / step)) },
      (_, i) => ({ from: i * step, to: (i + 1) * step, count: 0 }),
    );
    for (const [length, count] of this.#ascending()) {
      const at = Math.max(0, Math.ceil(length / step) - 1);
      bins[Math.min(at, bins.length - 1)]!.count += count;
    }
    return bins;
  }

  #ascending() {
    return this.#sorted ??= [...this.#counts].sort(([a], [b]) => a - b);
  }
}

/** 1, 2 or 5 times a power of ten, no less than `least`. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= least) ?? 10 * power;
}
