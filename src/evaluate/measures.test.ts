import { expect, test } from "bun:test";
import { judge } from "./judge.ts";
import { differencesOf, groupsOf, measuresOf } from "./measures.ts";

const how = { sections: [], thresholds: [0.9, 0.7, 0.5] as const };
const rows = (pairs: readonly (readonly [got: unknown, want: unknown, slice?: string])[]) =>
  pairs.map(([got, want, slice], i) =>
    judge({
      line: i + 1,
      prompt: `p${i}`,
      predicted: typeof got === "string" ? got : JSON.stringify(got),
      expected: typeof want === "string" ? want : JSON.stringify(want),
      milliseconds: 100,
      tokens: 10,
      ...(slice ? { slices: { kind: slice } } : {}),
    }, how)
  );
const say = (value: string, confidence: number) => ({
  type: "command",
  command: value,
  confidence,
});

test("an evaluation worked out by hand", () => {
  const judged = rows([
    [say("a", 0.95), say("a", 0.95), "easy"],
    [say("b", 0.95), say("a", 0.95), "easy"],
    [say("a", 0.6), say("a", 0.3), "hard"],
    ["oh", say("a", 0.3), "hard"],
  ]);
  const m = measuresOf(judged, {
    sections: [],
    seconds: 2,
    losses: [{ nll: 2, tokens: 1 }, { nll: 1, tokens: 2 }],
  });
  expect(m).toMatchObject({
    n: 4,
    exact_match: 1 / 4,
    json_valid: 3 / 4,
    loss: 1,
    tokens_per_second: 20,
  });
  expect(m.perplexity).toBeCloseTo(Math.E, 12);
  // F1 of the four answers: 1, 1/2 (the type of two), 1, 0.
  expect(m.slot_f1).toBeCloseTo(2.5 / 4, 12);
  expect(m.slot_micro).toEqual({ precision: 5 / 6, recall: 5 / 8, f1: 10 / 14 });
  // Stated: 0.95 right, 0.95 wrong, 0.6 right but for the confidence.
  expect(m.ece).toBeCloseTo((2 * (0.95 - 0.5) + 0.4) / 3, 12);
  expect(m.brier).toBeCloseTo((0.05 ** 2 + 0.95 ** 2 + 0.4 ** 2) / 3, 12);
  expect(m.confidence_error).toBeCloseTo(0.3 / 3, 12);
  expect(m.routing!.accuracy).toBe(3 / 4);
  expect(m.abstention).toEqual({ of: 2, rate: 1 / 2, needless: 0 });
  expect(m.slices!.kind).toMatchObject({
    easy: { n: 2, exact_match: 1 / 2, json_valid: 1, slot_f1: 3 / 4 },
    hard: { n: 2, exact_match: 0, json_valid: 1 / 2, slot_f1: 1 / 2 },
  });
  expect(m.rouge).toBeUndefined();
  expect(m.schema_valid).toBeUndefined();
});

test("texts are measured by ROUGE, and --metrics leaves the others out", () => {
  const judged = rows([["the cat", "the cat sat"]]);
  const m = measuresOf(judged, { sections: [] });
  expect(m.rouge!.rouge1).toBeCloseTo(0.8, 12);
  expect(m).not.toHaveProperty("ece");
  expect(m).not.toHaveProperty("slot_f1");
  const only = measuresOf(judged, { sections: [], only: ["exact"] });
  expect(Object.keys(only)).toEqual(["n", "exact_match", "exact_match_interval", "raw_match"]);
});

test("rows that ask nothing are counted by their losses", () => {
  expect(measuresOf([], { sections: [], losses: [{ nll: 3, tokens: 3 }] }))
    .toEqual({ n: 1, perplexity: Math.E, loss: 1 });
});

test("differences by path", () => {
  const [row] = rows([[{ a: { b: 1 }, c: [1], e: null }, { a: { b: 2 }, c: [1], d: 3 }]]);
  expect(differencesOf(row!)).toEqual([
    { path: "a.b", got: 1, want: 2 },
    { path: "d", got: undefined, want: 3 },
    { path: "e", got: null, want: undefined },
  ]);
  expect(differencesOf({ got: undefined, want: { a: 1 } })).toEqual([
    { path: "", got: undefined, want: { a: 1 } },
  ]);
});

test("groups: the largest first", () => {
  const judged = rows([["1", "1", "x"], ["1", "1", "y"], ["1", "1", "y"]]);
  expect([...groupsOf(judged).get("kind")!.keys()]).toEqual(["y", "x"]);
});
