/** Batches in which no text occurs twice: what ranks a text's positive among the others must not hold it twice. */

/**
 * Rows in order, each into the first batch that has room and none of its texts: every batch is filled with the
 * next rows that fit it.
 * @param texts of each row, as numbers that are equal where texts are
 * @param rows of a batch at most
 */
export function apart(
  order: Iterable<number>,
  texts: readonly (readonly number[])[],
  rows: number,
): number[][] {
  const batches: { readonly rows: number[]; readonly texts: Set<number> }[] = [];
  let open = 0; // batches before it are full
  for (const row of order) {
    const own = texts[row]!;
    let at = open;
    while (
      at < batches.length &&
      (batches[at]!.rows.length >= rows || own.some((text) => batches[at]!.texts.has(text)))
    ) at++;
    const batch = batches[at] ??= { rows: [], texts: new Set() };
    batch.rows.push(row);
    for (const text of own) batch.texts.add(text);
    while (open < batches.length && batches[open]!.rows.length >= rows) open++;
  }
  return batches.map((batch) => batch.rows);
}

/** As many batches as `count`, the largest cut in halves where there are fewer. */
export function inCount(batches: readonly number[][], count: number): number[][] {
  const all = [...batches];
  while (all.length < count) {
    const largest = all.reduce((best, { length }, i) => length > all[best]!.length ? i : best, 0);
    const half = Math.ceil(all[largest]!.length / 2);
    all.push(all[largest]!.slice(half));
    all[largest] = all[largest]!.slice(0, half);
  }
  return all;
}
