import { describe, expect, test } from "bun:test";
import { abstains, judge, ought, statedBy } from "./judge.ts";

const how = { sections: [], thresholds: [0.9, 0.7, 0.5] as const };
const row = (predicted: unknown, expected: unknown) => ({
  line: 1,
  prompt: "p",
  predicted: typeof predicted === "string" ? predicted : JSON.stringify(predicted),
  expected: typeof expected === "string" ? expected : JSON.stringify(expected),
});

describe("judge", () => {
  test("another confidence is not right, and yet sound", () => {
    const judged = judge(row({ a: 1, confidence: 0.6 }, { confidence: 0.9, a: 1 }), how);
    expect(judged).toMatchObject({
      right: false,
      sound: true,
      json: true,
      f1: 1,
      confidence: 0.6,
      action: "clarify",
      expectedAction: "execute",
    });
    expect(statedBy(judged)).toEqual([{ confidence: 0.6, right: true }]);
  });
  test("only the last section is compared", () => {
    const answer = (reasoning: string) =>
      `<reasoning>${reasoning}</reasoning><intent_ir>{"a":1}</intent_ir>`;
    const judged = judge(row(answer("so"), answer("thus")), {
      ...how,
      sections: ["reasoning", "intent_ir"],
    });
    expect(judged).toMatchObject({ right: true, bodies: ['{"a":1}', '{"a":1}'] });
  });
  test("texts, broken JSON, and what a schema says", () => {
    expect(judge(row("yes ", "yes"), how)).toMatchObject({
      right: true,
      json: false,
      action: "ask",
    });
    const problems = (answer: unknown) => answer === 1 ? [] : ["not one"];
    expect(judge(row("{", "1"), { ...how, problems }).problems).toEqual(["not JSON"]);
    expect(judge(row("2", "1"), { ...how, problems }).problems).toEqual(["not one"]);
    expect(judge(row("2", "1"), how)).not.toHaveProperty("problems");
    expect(judge(row("2", "1"), how)).not.toHaveProperty("f1");
  });
  test("scores by field are held against their fields", () => {
    const want = { motion: "outbound", role: "rep", confidence_scores: { motion: 1, role: 1 } };
    const got = {
      motion: "outbound",
      role: "cfo",
      confidence_scores: { motion: 0.9, role: 0.4, x: 1 },
    };
    expect(statedBy(judge(row(got, want), how))).toEqual([
      { confidence: 0.9, right: true },
      { confidence: 0.4, right: false },
    ]);
  });
  test("to abstain is to ask back or to doubt, not to break", () => {
    const of = (answer: unknown) => judge(row(answer, { confidence: 0.2 }), how);
    expect(abstains(of({ type: "clarification", confidence: 0.9 }))).toBe(true);
    expect(abstains(of({ confidence: 0.3 }))).toBe(true);
    expect(abstains(of({ confidence: 0.9 }))).toBe(false);
    expect(abstains(of("{broken"))).toBe(false);
    expect(ought(of("{broken"))).toBe(true);
  });
});
