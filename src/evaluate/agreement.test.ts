import { describe, expect, test } from "bun:test";
import { agreement, rejectedOf } from "./agreement.ts";

const IDEAL = '{"type":"command","args":{"bed":"north"},"flags":["a","b"]}';

describe("agreement", () => {
  test("F1 of the slots of JSON", () => {
    expect(agreement('{"flags":["a","b"],"args":{"bed":"north"},"type":"command"}', IDEAL)).toBe(1);
    // Three of four slots on either side: 2 * 3 / 8.
    expect(agreement(IDEAL.replace("north", "south"), IDEAL)).toBe(0.75);
    expect(agreement(IDEAL.replace('["a","b"]', '["b","a"]'), IDEAL)).toBe(1);
    // Two of two, where four are wanted: 2 * 2 / 6.
    expect(agreement('{"type":"command","args":{"bed":"north"}}', IDEAL)).toBeCloseTo(4 / 6, 12);
    // What is empty says nothing.
    expect(agreement('{"type":"command","args":[],"flags":{}}', IDEAL)).toBeCloseTo(2 / 5, 12);
    expect(agreement("north", IDEAL)).toBe(0);
  });

  test("F1 of the words of texts", () => {
    expect(agreement("the cat sat", "the cat sat down")).toBeCloseTo(6 / 7, 12);
    expect(agreement("the the the", "the cat")).toBeCloseTo(2 / 5, 12);
    expect(agreement("nothing", "the cat")).toBe(0);
  });
});

describe("which answer is rejected", () => {
  const given = [IDEAL, IDEAL.replace("north", "south"), "no", " ", '{"type":"command"}']
    .map((text) => ({ text, cut: false }));
  test("the one that agrees least, or most", () => {
    expect(rejectedOf(IDEAL, given, "worst")).toEqual({ text: "no", cut: false, score: 0 });
    expect(rejectedOf(IDEAL, given, "hardest")).toMatchObject({
      text: given[1]!.text,
      score: 0.75,
    });
  });
  test("none where all are the ideal one or empty", () => {
    expect(rejectedOf(IDEAL, [given[0]!, given[3]!], "worst")).toBeUndefined();
  });
  test("what was cut off comes last", () => {
    const cut = { text: "no", cut: true };
    expect(rejectedOf(IDEAL, [cut, given[1]!], "worst")!.text).toBe(given[1]!.text);
    expect(rejectedOf(IDEAL, [cut, given[0]!], "worst")!.cut).toBe(true);
  });
});
