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

/**
 * As many batches as `count`, of nearly the same length where texts allow it: a row alone in its batch has
 * nothing to be told from.
 */
export function balanced(
  batches: readonly number[][],
  texts: readonly (readonly number[])[],
  count: number,
): number[][] {
  const all = Array.from({ length: count }, (_, i) => [...batches[i] ?? []]);
  const least = Math.floor(all.reduce((sum, { length }) => sum + length, 0) / count);
  for (const batch of all) {
    const own = new Set(batch.flatMap((row) => texts[row]!));
    for (const donor of all) {
      for (let i = donor.length; i-- > 0 && batch.length < least && donor.length > least;) {
        const row = donor[i]!;
        if (texts[row]!.some((text) => own.has(text))) continue;
        batch.push(...donor.splice(i, 1));
        for (const text of texts[row]!) own.add(text);
      }
      if (batch.length >= least) break;
    }
  }
  return all;
}
