import { describe, expect, test } from "bun:test";
import { automaticSplit, isHeldOut, splitRows } from "./split.ts";

describe("splitRows", () => {
  test("rows that say the same stay on one side", () => {
    const key = (row: number) => String(row % 40); // every row five times
    const { train, val } = splitRows(200, 0.1, { seed: 3, key });
    expect(train.length + val.length).toBe(200);
    expect(train.length).toBe(180);
    const trained = new Set(train.map(key));
    expect(val.some((row) => trained.has(key(row)))).toBe(false);
    const apart = splitRows(200, 0.1, { seed: 3 });
    expect(splitRows(200, 0.1, { seed: 3, key: String })).toEqual(apart);
  });

  test("splits only above a hundred rows, nine to one", () => {
    const sizes = (rows: number) => {
      const { train, val } = automaticSplit(rows, { seed: 1 });
      return [train.length, val.length];
    };
    expect([100, 101, 110, 1000].map(sizes)).toEqual([[100, 0], [90, 11], [99, 11], [900, 100]]);
  });

  test("every row goes to one side, in file order, by the seed alone", () => {
    const { train, val } = splitRows(500, 0.2, { seed: 7 });
    expect([...train, ...val].toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 500 }, (_, i) => i),
    );
    expect(train).toEqual(train.toSorted((a, b) => a - b));
    expect(splitRows(500, 0.2, { seed: 7 })).toEqual({ train, val });
    expect(splitRows(500, 0.2, { seed: 8 }).val).not.toEqual(val);
    expect(val.filter((row) => row >= 400).length).toBeLessThan(50);
  });

  test("the tail stays where it stands", () => {
    expect(splitRows(120, 0.1, { seed: 7, tail: true }).val)
      .toEqual([108, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119]);
  });

  test("a share of everything is refused", () => {
    expect(() => splitRows(10, 1, { seed: 1 })).toThrow(RangeError);
    expect(() => splitRows(10, NaN, { seed: 1 })).toThrow(RangeError);
  });
});

test("isHeldOut depends on the row, the share and the seed only, and keeps the share", () => {
  const rows = Array.from({ length: 5000 }, (_, i) => `row ${i}`);
  const held = rows.filter((row) => isHeldOut(row, 0.1, 3));
  expect(held.length).toBeGreaterThan(400);
  expect(held.length).toBeLessThan(600);
  const more = rows.filter((row) => isHeldOut(row, 0.2, 3));
  expect(held.every((row) => more.includes(row))).toBe(true);
  expect(rows.filter((row) => isHeldOut(row, 0.1, 4))).not.toEqual(held);
});
