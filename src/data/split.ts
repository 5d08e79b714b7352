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
 * Splits `rows` rows, ⌊rows · (1 − share)⌋ of them for training.
 * @throws RangeError unless 0 ≤ share < 1
 */
export function splitRows(
  rows: number,
  share: number,
  { seed, tail = false }: SplitOptions,
): Split {
  if (!(share >= 0 && share < 1)) {
    throw new RangeError(`a share is from 0 to below 1, not ${share}`);
  }
  const count = Math.floor(rows * (1 - share));
  const order = tail
    ? Array.from({ length: rows }, (_, i) => i)
    : [...permutation(seed, SPLIT_EPOCH, rows)];
  const ascending = (list: number[]) => list.sort((a, b) => a - b);
  return { train: ascending(order.slice(0, count)), val: ascending(order.slice(count)) };
}

/**
 * Whether a row belongs to validation, decided by its own hash: adding, removing or shuffling other
 * rows moves no row to the other side.
 */
export function isHeldOut(rowHash: string, share: number, seed: number): boolean {
  return uniform(seed, streamOf(rowHash), 0) < share;
}
