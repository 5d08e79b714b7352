import { expect, test } from "bun:test";
import { rouge, rougeL, rougeN } from "./rouge.ts";

// Counted by hand: of 8 and 9 words 6 are common, of 7 and 8 pairs 2, and "the quick brown jumps the" is a
// longest common subsequence.
const FOX = "The quick brown fox jumps over the lazy dog";
const LOG = "The quick brown dog jumps on the log.";

test("a known pair", () => {
  expect(rougeN(LOG, FOX, 1)).toEqual({
    precision: 6 / 8,
    recall: 6 / 9,
    f1: expect.closeTo(12 / 17, 12),
  });
  expect(rougeN(LOG, FOX, 2)).toMatchObject({ precision: 2 / 7, recall: 2 / 8 });
  expect(rougeL(LOG, FOX)).toEqual({
    precision: 5 / 8,
    recall: 5 / 9,
    f1: expect.closeTo(10 / 17, 12),
  });
});

test("repetition earns no more than the reference has", () => {
  expect(rougeN("the the the the", "the cat", 1)).toMatchObject({
    precision: 1 / 4,
    recall: 1 / 2,
  });
});

test("nothing in common, nothing at all, other scripts", () => {
  expect(rougeL("a", "b").f1).toBe(0);
  expect(rougeL("", "b").f1).toBe(0);
  expect(rougeN("", "", 1).f1).toBe(0);
  expect(rougeN("Дом, большой", "большой дом", 1).f1).toBe(1);
  expect(rouge([["a b", "a b"], ["x", "y"]]).rouge2).toBe(0.5);
});
