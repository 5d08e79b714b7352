import { permutation, streamOf, uniform } from "../base/random.ts";

export interface Split {
  /** Row indices in ascending order. */
  readonly train: readonly number[];
  readonly val: readonly number[];
}

export interface SplitOptions {
  readonly seed: number;
  /** Takes the last rows as they stand instead of shuffling. */
  readonly tail?: boolean;
  /** What a row says: rows that say the same stay on one side. Not with `tail`. */
  readonly key?: (row: number) => string;
}

/** No epoch has this number, so the split has an order of its own. */
const SPLIT_EPOCH = 2 ** 32 - 1;

/** More rows than this are split without being asked. */
export const SPLIT_ABOVE = 100;

/** Nine in ten rows train when there are more than 100; fewer rows all train. */
export function automaticSplit(rows: number, options: SplitOptions): Split {
  return rows > SPLIT_ABOVE ? splitRows(rows, 0.1, options) : splitRows(rows, 0, options);
}

/**
 * Splits `rows` rows, ⌊rows · (1 − share)⌋ of them for training, or a few less where rows that are the same
 * stay together.
 * @throws RangeError unless 0 ≤ share < 1
 */
export function splitRows(
  rows: number,
  share: number,
  { seed, tail = false, key = String }: SplitOptions,
): Split {
  if (!(share >= 0 && share < 1)) {
    throw new RangeError(`a share is from 0 to below 1, not ${share}`);
  }
  const count = Math.floor(rows * (1 - share));
  const all = Array.from({ length: rows }, (_, i) => i);
  if (tail) return { train: all.slice(0, count), val: all.slice(count) };
  const groups = [...Map.groupBy(all, key).values()];
  const train: number[] = [], val: number[] = [];
  for (const g of permutation(seed, SPLIT_EPOCH, groups.length)) {
    const group = groups[g]!;
    (val.length === 0 && train.length + group.length <= count ? train : val).push(...group);
  }
  const ascending = (list: number[]) => list.sort((a, b) => a - b);
  return { train: ascending(train), val: ascending(val) };
}

/**
 * Whether a row belongs to validation, decided by its own hash: adding, removing or shuffling other
 * rows moves no row to the other side.
 */
export function isHeldOut(rowHash: string, share: number, seed: number): boolean {
  return uniform(seed, streamOf(rowHash), 0) < share;
}
