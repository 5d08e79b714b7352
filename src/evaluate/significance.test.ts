import { expect, test } from "bun:test";
import { mcnemar, pairedBootstrap, rowsFor, wilson } from "./significance.ts";

test("Wilson's interval: known values", () => {
  const [low, high] = wilson(81, 263);
  expect(low).toBeCloseTo(0.2553, 4);
  expect(high).toBeCloseTo(0.3662, 4);
  expect(wilson(0, 20)).toEqual([0, expect.closeTo(0.16113, 4)]);
  expect(wilson(0, 0)).toEqual([0, 1]);
});

test("McNemar: exact binomial tails", () => {
  expect(mcnemar(0, 0)).toBe(1);
  expect(mcnemar(5, 5)).toBe(1);
  expect(mcnemar(1, 0)).toBe(1);
  expect(mcnemar(0, 6)).toBeCloseTo(2 / 64, 12);
  expect(mcnemar(9, 1)).toBeCloseTo((2 * (1 + 10)) / 1024, 12);
  expect(mcnemar(1, 9)).toBe(mcnemar(9, 1));
  expect(mcnemar(2000, 2000)).toBe(1);
  // The normal approximation with continuity correction: z = 99/√2001 = 2.2131 and so p = 0.02689.
  expect(mcnemar(950, 1050)).toBeCloseTo(0.0268, 3);
});

test("bootstrap: interval and p as the normal approximation has them, the same for the same seed", () => {
  const rows = Array.from({ length: 400 }, (_, i) => i % 10 < 3 ? 1 : i % 10 < 5 ? -1 : 0);
  const got = pairedBootstrap(rows, { seed: 7 });
  const deviation = Math.sqrt((0.5 - 0.01) / 400);
  expect(got.mean).toBeCloseTo(0.1, 12);
  expect(got.interval[0]).toBeCloseTo(0.1 - 1.96 * deviation, 2);
  expect(got.interval[1]).toBeCloseTo(0.1 + 1.96 * deviation, 2);
  expect(got.p).toBeGreaterThan(0.002);
  expect(got.p).toBeLessThan(0.008);
  expect(got.detectable).toBeCloseTo(2.8016 * Math.sqrt((0.49 * 400) / 399 / 400), 4);
  expect(pairedBootstrap(rows, { seed: 7 })).toEqual(got);
  expect(pairedBootstrap(rows, { seed: 8 }).interval).not.toEqual(got.interval);
  expect(rowsFor(got.detectable / 2, got, 400)).toBe(1600);
});

test("bootstrap: of 300 experiments without a difference one in twenty looks like one", () => {
  let found = 0;
  for (let e = 0; e < 300; e++) {
    const rows = Array.from({ length: 60 }, (_, i) => Math.sin(1e4 * (e * 60 + i) ** 1.5));
    const { interval: [low, high] } = pairedBootstrap(rows, { resamples: 400, seed: e });
    if (low > 0 || high < 0) found++;
  }
  expect(found).toBeGreaterThan(3);
  expect(found).toBeLessThan(33);
});

test("bootstrap: equal answers, no rows", () => {
  expect(pairedBootstrap([0, 0, 0])).toEqual({ mean: 0, interval: [0, 0], p: 1, detectable: 0 });
  expect(pairedBootstrap([]).mean).toBeNaN();
});
