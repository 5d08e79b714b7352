import { expect, test } from "bun:test";
import { quantile, summary } from "./statistics.ts";

test("median, mean and deviation of known samples", () => {
  expect(summary([2, 4, 4, 4, 5, 5, 7, 9])).toEqual({
    n: 8,
    median: 4.5,
    best: 2,
    mean: 5,
    deviation: Math.sqrt(32 / 7),
  });
  expect(summary([3])).toEqual({ n: 1, median: 3, best: 3, mean: 3, deviation: 0 });
  expect(() => summary([])).toThrow(RangeError);
});

test("quantiles as NumPy gives them, whatever the order", () => {
  expect(quantile([40, 10, 30, 20], 0)).toBe(10);
  expect(quantile([40, 10, 30, 20], 1)).toBe(40);
  expect(quantile([40, 10, 30, 20], 0.5)).toBe(25);
  expect(quantile([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.95)).toBeCloseTo(9.55, 12);
  expect(quantile([7], 0.95)).toBe(7);
});
