import { expect, test } from "bun:test";
import { routed, routedTold } from "./routed.ts";

const AT = [0.9, 0.7, 0.5] as const;

test("sections and an action", () => {
  const text = '<reasoning>so</reasoning>\n<intent_ir>{"motion":"x","confidence":0.8}</intent_ir>';
  const got = routed(text, { sections: ["reasoning", "intent_ir"], thresholds: AT });
  expect(got).toEqual({
    reasoning: "so",
    intent_ir: { motion: "x", confidence: 0.8 },
    _valid: true,
    confidence: 0.8,
    action: "confirm",
  });
  expect(routedTold(got)).toBe("action: confirm, confidence 0.8");
});

test("an answer that cannot be parsed is never carried out", () => {
  const got = routed("<intent_ir>{", { sections: ["reasoning", "intent_ir"], thresholds: AT });
  expect(got).toMatchObject({ _valid: false, intent_ir: null, action: "ask" });
  expect(routedTold(got)).toMatch(/^not valid: <intent_ir> is never closed.*; action: ask$/);
  expect(routed("no", { thresholds: AT })).toEqual({ action: "ask" });
});

test("nothing is added unasked", () => {
  expect(routed("{}", {})).toEqual({});
  expect(routedTold({})).toBe("");
  expect(routed('{"confidence":0.95}', { thresholds: AT })).toEqual({
    confidence: 0.95,
    action: "execute",
  });
});
