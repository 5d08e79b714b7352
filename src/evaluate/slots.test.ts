import { expect, test } from "bun:test";
import { answerF1, slotMetrics, slotsOf } from "./slots.ts";

test("paths of nested values; lists are sets", () => {
  const slots = slotsOf({ a: { b: 1, c: {} }, d: ["x", "y", "x"], e: [{ f: [2, 1] }], g: null });
  expect(Object.fromEntries([...slots].map(([path, values]) => [path, [...values]]))).toEqual({
    "a.b": ["1"],
    "d[]": ['"x"', '"y"'],
    "e[]": ['{"f":[1,2]}'],
    g: ["null"],
  });
  expect([...slotsOf("text")]).toEqual([["", new Set(['"text"'])]]);
});

test("F1 of one answer, by hand", () => {
  const want = {
    command: "bed",
    args: { crop: "kale", rows: 2 },
    flags: ["deep"],
    confidence: 0.9,
  };
  // Found: command, crop. Given: command, crop, rows, two flags. Wanted: command, crop, rows, a flag.
  const got = { command: "bed", args: { crop: "kale", rows: 3 }, flags: ["x", "y"], confidence: 1 };
  expect(answerF1([got, want])).toBeCloseTo((2 * 2) / (5 + 4), 12);
  expect(answerF1([want, { ...want, confidence: 0.1 }])).toBe(1);
  expect(answerF1([undefined, want])).toBe(0);
  expect(answerF1([{}, {}])).toBe(1);
});

test("slots over rows: what is missing costs recall, what is beside costs precision", () => {
  const { all, slots } = slotMetrics([
    [{ a: 1, t: ["x", "y"] }, { a: 1, t: ["y", "x"] }],
    [{ a: 2, t: ["x"] }, { a: 1, t: ["x", "y"] }],
    [undefined, { a: 1 }],
    [{ extra: 1 }, {}],
  ]);
  expect(slots.get("a")).toEqual({
    precision: 1 / 2,
    recall: 1 / 3,
    f1: 2 / 5,
    of: 3,
    accuracy: 1 / 3,
  });
  expect(slots.get("t[]")).toEqual({
    precision: 1,
    recall: 3 / 4,
    f1: 6 / 7,
    of: 2,
    accuracy: 1 / 2,
  });
  expect(slots.get("extra")).toEqual({ precision: 0, recall: 0, f1: 0, of: 0, accuracy: 0 });
  expect(all).toEqual({ precision: 4 / 6, recall: 4 / 7, f1: 8 / 13 });
});
