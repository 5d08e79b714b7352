import { expect, test } from "bun:test";
import { type Item, pack, share } from "./packing.ts";
import { word } from "./random.ts";

/** Items of random sizes and lives, some of them apart; the same for the same seed. */
function items(seed: number, n: number): Item[] {
  let i = 0;
  const draw = (below: number) => word(seed, 0, i++, 0) % below;
  const made = Array.from({ length: n }, (): Item => {
    const born = draw(200);
    return { born, dies: born + draw(40), bytes: 256 * (1 + draw(64)), apart: new Set() };
  });
  for (let k = 0; k < n; k++) {
    const [a, b] = [made[draw(n)]!, made[draw(n)]!];
    if (a === b) continue;
    a.apart.add(b);
    b.apart.add(a);
  }
  return made;
}
const meet = (a: Item, b: Item) => a.born <= b.dies && b.born <= a.dies;
/** Bytes needed at the worst moment: nothing can be less. */
const bound = (all: readonly Item[]) =>
  all.map(({ born }) => all.filter((b) => meet(b, { ...b, born, dies: born })))
    .map((alive) => alive.reduce((sum, { bytes }) => sum + bytes, 0))
    .reduce((a, b) => Math.max(a, b), 0);

test("nothing overlaps what lives at the same time, and what is to be apart is", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const all = items(seed, 150), { placeOf, slotBytes } = pack(all, 0);
    for (const a of all) {
      const { slot, offset } = placeOf.get(a)!;
      expect(offset + a.bytes).toBeLessThanOrEqual(slotBytes[slot]!);
      for (const b of a.apart) expect(placeOf.get(b)!.slot).not.toBe(slot);
      for (const b of all.filter((b) => b !== a && meet(a, b) && placeOf.get(b)!.slot === slot)) {
        const other = placeOf.get(b)!.offset;
        expect(offset + a.bytes <= other || other + b.bytes <= offset).toBe(true);
      }
    }
    const total = slotBytes.reduce((a, b) => a + b, 0);
    expect(total).toBeGreaterThanOrEqual(bound(all));
    expect(total).toBeLessThan(1.25 * bound(all));
  }
});

test("items of one size that follow each other take what lives at one time; none take nothing", () => {
  const all = Array.from({ length: 100 }, (_, i): Item => {
    return { born: i, dies: i + 4, bytes: 512, apart: new Set() };
  });
  expect(pack(all, 5 * 512).slotBytes.reduce((a, b) => a + b)).toBe(5 * 512);
  expect(pack([], 0).slotBytes).toEqual([]);
});

test("share() takes the smallest buffer that is large enough, each once, and makes what is missing", () => {
  expect(share([], [5, 9])).toEqual([1, 0]);
  expect(share([10, 4, 8], [3, 8, 4])).toEqual([0, 2, 1]);
  expect(share([4, 4], [4, 5, 1, 2])).toEqual([0, 2, 3, 1]);
});
