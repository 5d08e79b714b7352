import { expect, test } from "bun:test";
import { signs, warnings } from "./signs.ts";

const answer = (confidence: number, assumed: string[] = []) => ({
  confidence,
  assumptions_applied: assumed,
});

test("a confidence that never changes, assumptions of one mould", () => {
  const rows = Array.from({ length: 20 }, (_, i) => ({
    got: answer(0.7, ["Default horizon"]),
    want: answer(i / 20, [`because of ${i}`]),
    right: i < 5,
  }));
  const found = signs(rows);
  expect(found.confidence).toEqual({
    n: 20,
    mean: expect.closeTo(0.7, 12),
    variance: expect.closeTo(0, 12),
    most_common: 1,
  });
  expect(found.confidence_expected!.variance).toBeCloseTo((400 - 1) / 12 / 400, 12);
  expect(found.valid_but_wrong).toBe(0.75);
  expect(found.confident_when_wrong).toBe(0);
  expect(found.repeated.assumptions_applied).toEqual({ n: 20, rate: 0.95, expected: 0 });
  expect(warnings(found)).toEqual([
    expect.stringContaining("the confidence is the same in 100 %"),
    expect.stringContaining("assumptions_applied repeats that of another answer in 95 %"),
  ]);
});

test("rows that teach a constant confidence are named as the cause", () => {
  const rows = Array.from(
    { length: 12 },
    () => ({ got: answer(0.9), want: answer(0.9), right: true }),
  );
  expect(warnings(signs(rows))).toEqual([
    expect.stringContaining("the data teach nothing about it"),
  ]);
});

test("wrong and sure; reasoning that is always the same", () => {
  const rows = Array.from({ length: 10 }, (_, i) => ({
    got: answer(i < 6 ? 0.95 : i / 10),
    want: answer(0.1 * i),
    right: false,
    told: { reasoning: "The user  wants accounts." },
    toldExpected: { reasoning: `Because ${i}` },
  }));
  const found = signs(rows);
  expect(found.confident_when_wrong).toBe(0.7);
  expect(found.repeated.reasoning).toEqual({ n: 10, rate: 0.9, expected: 0 });
  expect(warnings(found)).toHaveLength(2);
});

test("honest answers show no signs", () => {
  const rows = Array.from({ length: 20 }, (_, i) => ({
    got: answer(i / 20, [`so ${i}`]),
    want: answer(i / 20, [`so ${i}`]),
    right: i > 2,
  }));
  expect(warnings(signs(rows))).toEqual([]);
  expect(signs([]).valid_but_wrong).toBe(0);
});
