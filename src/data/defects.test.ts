import { expect, test } from "bun:test";
import { Checker } from "./check.ts";
import { jsonValues } from "./json_values.ts";
import { quickJson } from "./quick_json.ts";
import { JsonError, parseJson } from "../base/strict_json.ts";

const good = '{"prompt":"q","completion":"a"}';
const say = (role: string, content = "x") => ({ role, content });
const talk = (...messages: object[]) => JSON.stringify({ messages });
const bytes = (...parts: (string | number[])[]) =>
  Buffer.concat(
    parts.map((part) => typeof part === "string" ? Buffer.from(part) : Buffer.from(part)),
  );
/** A good row, the broken one on line 2, a good one. */
const second = (line: string | number[]) => bytes(`${good}\n`, line, `\n${good}\n`);

/** Kinds of defective input, the lines that must be named, and what is said of the first. */
const defects:
  readonly (readonly [name: string, file: Uint8Array, lines: number[], says: string])[] = [
    [
      "byte order mark and a bad line",
      bytes([0xef, 0xbb, 0xbf], `${good}\nx\n`),
      [2],
      "not valid JSON",
    ],
    ["a byte order mark inside", second(`\uFEFF${good}`), [2], "not valid JSON"],
    ["CRLF", bytes(`${good}\r\nx\r\n${good}\r\n{}\r\n`), [2, 4], "not valid JSON"],
    ["CRLF and blank lines", bytes(`\r\n${good}\r\n\r\nx\r\n`), [4], "not valid JSON"],
    ["a lone surrogate", second('{"prompt":"\\ud800","completion":"a"}'), [2], "surrogate"],
    [
      "a low surrogate first",
      second('{"prompt":"\\udc00\\ud800","completion":"a"}'),
      [2],
      "surrogate",
    ],
    ["invalid UTF-8", second([0x7b, 0x22, 0xff, 0x22, 0x7d]), [2], "not valid UTF-8"],
    [
      "a character cut in half",
      bytes(`${good}\n{"prompt":"\u00fc`.slice(0, -1), [0xc3], "\n"),
      [2],
      "UTF-8",
    ],
    [
      "a surrogate written in UTF-8",
      second([0x22, 0xed, 0xa0, 0x80, 0x22]),
      [2],
      "not valid UTF-8",
    ],
    ["a NUL", second('{"prompt":"a\0b","completion":"c"}'), [2], "NUL byte"],
    [
      "a tab inside a string",
      second('{"prompt":"a\tb","completion":"c"}'),
      [2],
      "control character",
    ],
    [
      "a line of 100 MB",
      second(`{"prompt":"${"a".repeat(100e6)}","completion":"b"}`),
      [2],
      "bytes, more than",
    ],
    [
      "assistant first",
      second(talk(say("assistant"), say("user"))),
      [2],
      "begins with the assistant",
    ],
    [
      "two users in turn",
      second(talk(say("user"), say("user"), say("assistant"))),
      [2],
      "both from the user",
    ],
    [
      "a late system message",
      second(talk(say("user"), say("assistant"), say("system"))),
      [2],
      "from the system",
    ],
    ["an unknown role", second(talk(say("human"), say("assistant"))), [2], 'role "human"'],
    ["nothing to train on", second(talk(say("user"))), [2], "no assistant message"],
    ["an empty answer", second('{"prompt":"q","completion":" "}'), [2], "completion is empty"],
    ["an answer that is null", second('{"prompt":"q","completion":null}'), [2], "null"],
    [
      "a key that stands twice",
      second('{"prompt":"q","prompt":"r","completion":"a"}'),
      [2],
      "duplicate key",
    ],
    [
      "the same deep inside",
      second('{"prompt":"q","completion":{"a":[{"b":1,"b":2}]}}'),
      [2],
      "duplicate key",
    ],
    ["NaN", second('{"prompt":"q","completion":NaN}'), [2], "not valid JSON at column 28"],
    ["-Infinity", second('{"prompt":"q","completion":-Infinity}'), [2], "not valid JSON"],
    [
      "a comma at the end",
      second('{"prompt":"q","completion":"a",}'),
      [2],
      "not valid JSON at column 32",
    ],
    ["single quotes", second("{'prompt':'q','completion':'a'}"), [2], "not valid JSON at column 2"],
    ["a comment", second(`${good} // note`), [2], "not valid JSON"],
    ["a list in place of a row", second('["q","a"]'), [2], "a list"],
    ["a text in place of a row", second('"q"'), [2], "a string"],
    ["two objects on one line", second(`${good}${good}`), [2], "more than one JSON value"],
    ["cut off at the end", bytes(`${good}\n{"prompt":"q","compl`), [2], "truncated"],
    ["gzip", bytes([0x1f, 0x8b, 8, 0, 0, 0, 10, 1, 2]), [1], "gunzip"],
    ["zip", bytes("PK\x03\x04rest"), [1], "ZIP"],
    ["Parquet", bytes("PAR1rest"), [1], "Parquet"],
    ["UTF-16", new Uint8Array(Buffer.from(`\uFEFF${good}\n`, "utf16le")), [1], "UTF-16"],
    ["UTF-16 without its mark", new Uint8Array(Buffer.from(`${good}\n`, "utf16le")), [1], "UTF-16"],
    [
      "an object over several lines",
      bytes(`${good}\n{\n"prompt": "q"\n}\n`),
      [2, 3, 4],
      "breaks off",
    ],
    [
      "bad elements of an array",
      bytes(`[\n${good},\n{"prompt":1},\n${good},\nx\n]`),
      [3, 5],
      "completion",
    ],
    ["an array that is not closed", bytes(`[${good},\n{"prompt":`), [2], "breaks off"],
    ["fields of no form", second('{"question":"q","reply":"a"}'), [2], "no form of row"],
    ["half of a form", second('{"prompt":"q"}'), [2], "Invalid dataset at index 1: missing"],
    [
      "too deep",
      second(`{"prompt":"q","completion":${"[".repeat(90)}${"]".repeat(90)}}`),
      [2],
      "nested",
    ],
    [
      "a pair without its answers",
      bytes('{"prompt":"p","chosen":"a","rejected":"b"}\n{"prompt":"p","text":"t"}\n'),
      [2],
      "Invalid DPO dataset at index 1: missing required fields ['chosen', 'rejected']. " +
      "Expected fields: ['prompt', 'chosen', 'rejected'], got: ['prompt', 'text']",
    ],
    [
      "a pair of equal answers",
      bytes('{"prompt":"p","chosen":"a","rejected":"a"}\n'),
      [1],
      "are the same",
    ],
    ["a triplet without a positive", bytes('{"anchor":"a","negative":"n"}\n'), [1], "'positive'"],
  ];

/** In pieces, as a file may come. */
async function* chunked(file: Uint8Array, size: number) {
  for (let at = 0; at < file.length; at += size) yield file.subarray(at, at + size);
}

test.each(defects)("%s", async (_, file, lines, says) => {
  // Pieces of 7 bytes cut every line and character; the long line would take too many of them.
  for (const size of file.length > 1e6 ? [2 ** 20] : [7, 2 ** 20]) {
    const checker = new Checker();
    const named: number[] = [];
    const reasons: string[] = [];
    for await (const value of jsonValues(chunked(file, size))) {
      const { bad } = checker.row(value);
      if (bad === undefined) continue;
      named.push(value.line);
      reasons.push(bad);
    }
    expect(named).toEqual(lines);
    expect(reasons[0]).toContain(says);
    expect(checker.report().counts.bad).toBe(lines.length);
  }
});

test("there are at least thirty kinds", () => expect(defects.length).toBeGreaterThanOrEqual(30));

test("the quick reader never takes what the strict one refuses, and reads the same", () => {
  const texts = [
    '{"a":1,"a":2}',
    '{"a" :1,"a"\n:2}',
    '{"a\\\\":1,"a\\\\":2}',
    '{"a\\\\":1,"x":1,"x":":"}',
    '{"a":":","a":2}',
    '{"":1,"":2}',
    '{"x":{"a":1},"y":{"a":1}}',
    '{"x":"{\\"a\\":1,\\"a\\":2}"}',
    '{"x":":\\":"}',
    '["\\ud83d\\ude00","\\u00fc"]',
    '{"__proto__":1,"x":{"__proto__":2}}',
    '"\\uD800"',
    `${"[".repeat(70)}${"]".repeat(70)}`,
    "[1,2,]",
    ' {"a" : [ true , null ] } ',
  ];
  for (const text of texts) {
    let strict: unknown;
    try {
      strict = parseJson(text);
    } catch (error) {
      expect(error).toBeInstanceOf(JsonError);
      expect([text, quickJson(text)]).toEqual([text, undefined]);
      continue;
    }
    const quick = quickJson(text);
    if (quick) expect(JSON.stringify(quick.value)).toBe(JSON.stringify(strict));
  }
  expect(quickJson('{"x":"{\\"a\\":1,\\"a\\":2}"}')).toBeDefined();
});
