import { expect, test } from "bun:test";
import { type Action, actionOf, confusion } from "./routing.ts";

const AT = [0.9, 0.7, 0.5] as const;

test.each<[number, Action]>([
  [1, "execute"],
  [0.9, "execute"],
  [0.899, "confirm"],
  [0.7, "confirm"],
  [0.69, "clarify"],
  [0.5, "clarify"],
  [0.49, "ask"],
  [0, "ask"],
])("a command at confidence %p: %p", (confidence, action) => {
  expect(actionOf({ type: "command", confidence }, AT)).toBe(action);
});

test("a clarification is never executed, and what says nothing is never believed", () => {
  expect(actionOf({ type: "clarification", confidence: 0.95 }, AT)).toBe("clarify");
  expect(actionOf({ type: "clarification", confidence: 0.3 }, AT)).toBe("ask");
  for (const answer of [undefined, {}, [], { confidence: 7 }, "x"]) {
    expect(actionOf(answer, AT)).toBe("ask");
  }
  expect(actionOf({ confidence_scores: { a: 0.95, b: 0.6 } }, AT)).toBe("clarify");
});

test("confusion counts pairs, and knows names that were only given", () => {
  const { names, counts } = confusion([["a", "a"], ["a", "b"], ["c", "x"]], ["c"]);
  expect(names).toEqual(["c", "a", "b", "x"]);
  expect(counts).toEqual([[0, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]);
});
