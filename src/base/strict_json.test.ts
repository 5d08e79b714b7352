import { describe, expect, test } from "bun:test";
import { JsonError, type JsonLimits, parseJson } from "./strict_json.ts";

function offsetOf(text: string | Uint8Array, limits?: JsonLimits): number {
  try {
    parseJson(text, limits);
  } catch (error) {
    if (error instanceof JsonError) return error.offset;
    throw error;
  }
  return -1;
}

describe("parseJson", () => {
  test("agrees with JSON.parse on valid text", () => {
    const texts = [
      "{}",
      "[]",
      " [ ] ",
      "0",
      "-0",
      "1.5e-3",
      "1E+2",
      '"\\u0041\\n\\"é😀\\ud83d\\ude00"',
      "true",
      '{"a":[1,2,{"b":null}],"":false, "0":1}',
      "\t\r\n[ 1 , 2 ]\n",
      '"\u007f\u2028"',
    ];
    for (const text of texts) {
      expect(JSON.stringify(parseJson(text))).toBe(JSON.stringify(JSON.parse(text)));
    }
  });

  test("refuses what RFC 8259 does not have, at the right byte", () => {
    const cases: [string, number][] = [
      ["", 0],
      ["{", 1],
      ["[1,]", 3],
      ["{,}", 1],
      ["01", 1],
      ["+1", 0],
      [".5", 0],
      ["1.", 1],
      ["NaN", 0],
      ["Infinity", 0],
      ["nul", 0],
      ["'a'", 0],
      ['"a', 0],
      ['"\\x"', 1],
      ['"\\u12g4"', 1],
      ['"a\nb"', 2],
      ["[1 2]", 3],
      ['{"a" 1}', 5],
      ["{} {}", 3],
      ["\ufeff{}", 0],
      ["/**/1", 0],
      ['{"é":1,"é":2}', 8],
      ['{"a":1,"\\u0061":2}', 7],
      ['"\\ud800"', 0],
      ['{"__proto__":1,"__proto__":1}', 15],
    ];
    for (const [text, offset] of cases) expect([text, offsetOf(text)]).toEqual([text, offset]);
  });

  test("refuses invalid UTF-8, deep nesting and floods", () => {
    expect(offsetOf(Uint8Array.of(0x22, 0xff, 0x22))).toBe(0);
    expect(offsetOf("[".repeat(1e6))).toBe(65);
    expect(offsetOf("[" + "0,".repeat(100) + "0]", { maxValues: 50 })).toBeGreaterThan(90);
  });

  test("naturals: only exact non-negative integers", () => {
    for (const good of ["0", "9007199254740991"]) {
      expect(offsetOf(good, { naturals: true })).toBe(-1);
    }
    for (const bad of ["-1", "-0", "1.0", "1e2", "9007199254740992", "9007199254740993"]) {
      expect(offsetOf(bad, { naturals: true })).toBe(0);
    }
  });

  test("no key reaches a prototype", () => {
    const parsed = parseJson('{"__proto__":{"polluted":1},"constructor":2}') as Record<
      string,
      unknown
    >;
    expect(Object.getPrototypeOf(parsed)).toBe(null);
    expect(Object.keys(parsed)).toEqual(["__proto__", "constructor"]);
    expect("polluted" in {}).toBe(false);
  });
});
