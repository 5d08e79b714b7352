import { expect, test } from "bun:test";
import { dice, hashText } from "./dice.ts";

test("depends on seed and keys only", () => {
  const draw = (...keys: (number | string)[]) => {
    const die = dice(1, ...keys);
    return Array.from({ length: 8 }, () => die.next());
  };
  expect(draw(1, "a")).toEqual(draw(1, "a"));
  const streams = [draw(1, "a"), draw(2, "a"), draw(1, "b"), draw("a", 1), draw()];
  expect(new Set(streams.map((s) => s.join())).size).toBe(streams.length);
  expect(dice(2).next()).not.toBe(dice(1).next());
});

test("is even: each face of many dice, and each bit of first draws over neighbouring keys", () => {
  const faces = new Array<number>(6).fill(0);
  const die = dice(5, "faces");
  for (let i = 0; i < 60_000; i++) faces[die.int(0, 5)]!++;
  // 10,000 each, standard deviation 91.
  expect(Math.max(...faces.map((n) => Math.abs(n - 10_000)))).toBeLessThan(450);
  for (let bit = 1; bit <= 8; bit++) {
    let ones = 0;
    for (let key = 0; key < 4000; key++) ones += Math.floor(dice(9, key).next() * 2 ** bit) & 1;
    expect(Math.abs(ones - 2000)).toBeLessThan(160);
  }
});

test("picks, shuffles and refuses to pick from nothing", () => {
  const die = dice(3);
  const list = Array.from({ length: 20 }, (_, i) => i);
  const shuffled = die.shuffle(list);
  expect(shuffled).not.toEqual(list);
  expect(shuffled.toSorted((a, b) => a - b)).toEqual(list);
  expect(list).toEqual(Array.from({ length: 20 }, (_, i) => i));
  expect(new Set(Array.from({ length: 200 }, () => die.pick(list))).size).toBe(20);
  expect(() => die.pick([])).toThrow(RangeError);
});

test("hashText tells near texts apart", () => {
  const hashes = new Set(Array.from({ length: 10_000 }, (_, i) => hashText(`text ${i}`)));
  expect(hashes.size).toBeGreaterThan(9_990);
});
