import { permutation } from "../base/random.ts";

/** No epoch has this number, so the split has an order of its own. */
const SPLIT_EPOCH = 2 ** 32 - 1;

/**
 * Splits rows so that equal ones are on one side: whole groups of equal rows go to validation, in an
 * order drawn by the seed, while they fit into its share. With `tail` the last rows do, and those
 * of them that also stand before stay in training.
 *
 * @param keys by row what is equal for equal rows
 * @returns row indices in ascending order, ⌊n · (1 − share)⌋ or a few more for training
 */
export function splitGroups(
  keys: readonly string[],
  share: number,
  { seed, tail = false }: { readonly seed: number; readonly tail?: boolean },
): { readonly train: number[]; readonly val: number[]; readonly moved: number } {
  const n = keys.length;
  const wanted = n - Math.floor(n * (1 - share) + 1e-9);
  const groups = Map.groupBy(keys.keys(), (row) => keys[row]!);
  const held = new Set<number>();
  let moved = 0;
  if (tail) {
    for (const rows of groups.values()) {
      const late = rows.filter((row) => row >= n - wanted);
      if (late.length === rows.length) { for (const row of late) held.add(row); }
      else moved += late.length;
    }
  } else {
    const list = [...groups.values()];
    for (const at of permutation(seed, SPLIT_EPOCH, list.length)) {
      const rows = list[at]!;
      if (held.size + rows.length > wanted) continue;
      for (const row of rows) held.add(row);
      if (held.size === wanted) break;
    }
  }
  const all = [...keys.keys()];
  return {
    train: all.filter((row) => !held.has(row)),
    val: all.filter((row) => held.has(row)),
    moved,
  };
}
