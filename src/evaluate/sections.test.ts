import { describe, expect, test } from "bun:test";
import { bodyOf, parseSections } from "./sections.ts";

const TAGS = ["reasoning", "intent_ir"];

describe("parseSections", () => {
  test("both sections", () => {
    const text = "<reasoning>\n- my: own\n- accounts\n</reasoning>\n\n<intent_ir>\n" +
      '{\n  "motion": "outbound"\n}\n</intent_ir>';
    expect(parseSections(text, TAGS)).toEqual({
      reasoning: "- my: own\n- accounts",
      intent_ir: { motion: "outbound" },
      _valid: true,
    });
  });
  test("a missing reasoning is empty", () => {
    expect(parseSections('<intent_ir>{"a":1}</intent_ir>', TAGS))
      .toEqual({ reasoning: "", intent_ir: { a: 1 }, _valid: true });
  });
  test("without the last tag the whole answer is parsed", () => {
    expect(parseSections(' {"a":1}\n', TAGS))
      .toEqual({ reasoning: "", intent_ir: { a: 1 }, _valid: true });
    expect(parseSections('<reasoning>r</reasoning>{"a":1}', TAGS))
      .toMatchObject({ reasoning: "r", intent_ir: null, _valid: false });
  });
  test("the first of two counts, and what is in it may hold other tags", () => {
    const text = "<reasoning>a</reasoning><reasoning>b</reasoning>" +
      '<intent_ir>{"t":"<b>"}</intent_ir><intent_ir>{}</intent_ir>';
    expect(parseSections(text, TAGS)).toMatchObject({ reasoning: "a", intent_ir: { t: "<b>" } });
  });
  test.each([
    ["<intent_ir>{", "never closed"],
    ["<intent_ir>{]</intent_ir>", "not JSON"],
    ["<intent_ir>[1]</intent_ir>", "expected a JSON object, found [1]"],
    ["", "there is no answer"],
    ["I do not know.", "not JSON"],
  ])("%p is not valid: %p", (text, error) => {
    const parsed = parseSections(text, TAGS);
    expect(parsed).toMatchObject({ reasoning: "", intent_ir: null, _valid: false });
    expect(parsed.error).toContain(error);
  });
  test("a long answer without its end is read in no time", () => {
    const text = "<reasoning>" + " ".repeat(1_000_000) + "<intent_ir>";
    expect(parseSections(text, TAGS)._valid).toBe(false);
  });
  test("without tags the body is the whole answer", () => {
    expect(bodyOf(" x ", [])).toBe("x");
  });
});
