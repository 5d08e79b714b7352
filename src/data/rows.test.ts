import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import { collectRows, type Dataset, EMPTY_DATASET, readDataset, type RowOptions } from "./rows.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** Feeds the bytes in pieces of `size`, so that every boundary falls somewhere awkward. */
async function* pieces(data: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += size) yield data.slice(at, at + size);
}

const read = (data: string | Uint8Array, options?: RowOptions, size = 7): Promise<Dataset> =>
  collectRows(pieces(typeof data === "string" ? bytes(data) : data, size), "rows.jsonl", options);

async function failure(promise: Promise<unknown>): Promise<Fail> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Fail) return error;
    throw error;
  }
  throw new Error("the rows were accepted");
}

async function only(row: unknown, options?: RowOptions) {
  const { examples } = await read(JSON.stringify(row), options);
  expect(examples).toHaveLength(1);
  return examples[0]!;
}

const GOOD = '{"prompt":"a","completion":"b"}';

describe("forms", () => {
  const answer = { kind: "bus", stop: null };
  const asked = (content: string) => ({ role: "user", content });
  const said = (content: string) => ({ role: "assistant", content });

  test("a query and its data, under the one system message of all rows", async () => {
    const row = { query: "where is the 14", data: answer };
    const talk = [asked("where is the 14"), said('{"kind":"bus","stop":null}')];
    expect(await only(row)).toEqual({ line: 1, messages: talk });
    const system = { role: "system", content: "Answer in JSON." };
    expect(await only(row, { system: "Answer in JSON." }))
      .toEqual({ line: 1, messages: [system, ...talk] });
    const own = { messages: [{ role: "system", content: "Old." }, ...talk] };
    expect(await only(own, { system: "Answer in JSON." }))
      .toEqual({ line: 1, messages: [system, ...talk] });
  });

  test("a request, its reasons and its reading", async () => {
    const row = { gtm_prompt: "deals", intent_ir: { motion: "unknown" } };
    const json = '{\n  "motion": "unknown"\n}';
    expect(await only(row, { jsonIndent: 2 })).toEqual({
      line: 1,
      messages: [asked("deals"), said(json)],
    });
    const reasoned = `<reasoning>\n- one noun\n</reasoning>\n\n<intent_ir>\n${json}\n</intent_ir>`;
    expect(await only({ ...row, reasoning: "- one noun\n" }, { jsonIndent: 2 }))
      .toEqual({ line: 1, messages: [asked("deals"), said(reasoned)] });
    const plain = { prompt: "deals", reasoning: "- one noun", response: { motion: "unknown" } };
    expect(await only(plain, { jsonIndent: 2 }))
      .toEqual({ line: 1, prompt: "deals", answer: reasoned });
  });

  test("rows that are no conversation have no place for a system message", async () => {
    const { why } = await failure(read(GOOD, { system: "Answer in JSON." }));
    expect(why).toContain("a system message needs a conversation");
  });

  test("ids with labels", async () => {
    expect(await only({ input_ids: [1, 2, 3], labels: [-100, 2, 3] }, { vocabulary: 4 }))
      .toEqual({ line: 1, ids: [1, 2, 3], labels: [-100, 2, 3] });
  });

  test("prompt with completion or response; answers that are not text become JSON", async () => {
    expect(await only({ prompt: "p ", completion: "c" })).toEqual({
      line: 1,
      prompt: "p ",
      answer: "c",
    });
    expect(await only({ prompt: "p", response: { a: [1, "x"] } }))
      .toEqual({ line: 1, prompt: "p", answer: '{"a":[1,"x"]}' });
    expect(await only({ prompt: "p", response: 5 })).toEqual({ line: 1, prompt: "p", answer: "5" });
  });

  test("chosen fields, with the answer laid out over lines", async () => {
    const row = { gtm_prompt: "my accounts", intent_ir: { motion: "expansion" }, text: "no" };
    const map = { prompt: "gtm_prompt", response: "intent_ir" };
    expect(await only(row, { map, jsonIndent: 2 }))
      .toEqual({ line: 1, prompt: "my accounts", answer: '{\n  "motion": "expansion"\n}' });
  });

  test("conversations in both notations, trained on the answers only", async () => {
    const messages = [{ role: "user", content: "q" }, { role: "assistant", content: "a" }];
    expect(await only({ messages })).toEqual({ line: 1, messages });
    const conversations = [{ from: "human", value: "q" }, { from: "gpt", value: "a" }];
    expect(await only({ conversations })).toEqual({ line: 1, messages });
    expect(await only({ conversations, system: "s" }))
      .toEqual({ line: 1, messages: [{ role: "system", content: "s" }, ...messages] });
    const earlier = [...messages, { role: "user", content: "r" }];
    expect(await only({ prompt: earlier, completion: [{ role: "assistant", content: "b" }] }))
      .toEqual({
        line: 1,
        messages: [
          ...earlier.map((m) => ({ ...m, weight: 0 })),
          { role: "assistant", content: "b" },
        ] as never,
      });
  });

  test("alpaca with and without input", async () => {
    expect(await only({ instruction: "Add", input: "1 2", output: "3" })).toEqual({
      line: 1,
      prompt: "### Instruction:\nAdd\n### Input:\n1 2\n### Response:\n",
      answer: "3",
    });
    expect(await only({ instruction: "Add", input: "", output: "3" })).toEqual({
      line: 1,
      prompt: "### Instruction:\nAdd\n### Response:\n",
      answer: "3",
    });
  });

  test("a request with context", async () => {
    const user = async (context: unknown) => {
      const row = await only({ instruction: "push it", context, output: "{}" });
      return "messages" in row ? row.messages[0]!.content : undefined;
    };
    expect(await user(null)).toBe("push it");
    expect(await user({ git: { branch: "main" } })).toBe('push it\n{"git":{"branch":"main"}}');
    expect(await user("on main")).toBe("push it\non main");
  });

  test("text", async () => {
    expect(await only({ text: "all of it" })).toEqual({ line: 1, text: "all of it" });
  });

  test("counts the forms of a mixed file", async () => {
    const { forms } = await read(`${GOOD}\n{"text":"t"}\n${GOOD}\n`);
    expect(forms).toEqual({ prompt_completion: 2, text: 1 });
  });

  test("a JSON array, laid out as anybody likes", async () => {
    const rows = [{ text: 'a "quoted", [bracketed]' }, { text: "b\\" }, { text: "c" }];
    for (const indent of [0, 1, 4]) {
      const { examples } = await read(`\n ${JSON.stringify(rows, null, indent)}\n`);
      expect(examples.map((e) => "text" in e ? e.text : "")).toEqual(rows.map((r) => r.text));
    }
    const { examples } = await read('[\n{"text":"a"},\n\n {"text":\n"b"}]');
    expect(examples.map((e) => e.line)).toEqual([2, 4]);
  });
});

describe("reading", () => {
  test("line numbers count blank lines, CRLF, and a byte order mark", async () => {
    const { examples } = await read(`\ufeff\r\n${GOOD}\r\n\r\n  \r\n${GOOD}`);
    expect(examples.map((e) => e.line)).toEqual([2, 5]);
    for (const size of [1, 2, 3, 1000]) {
      expect((await read(`\ufeff${GOOD}\r\n${GOOD}`, {}, size)).examples).toHaveLength(2);
    }
  });

  test("from a file; a missing one is named", async () => {
    const dir = mkdtempSync(join(tmpdir(), "rows-"));
    afterAll(() => rmSync(dir, { recursive: true }));
    writeFileSync(join(dir, "a b.jsonl"), `${GOOD}\n`);
    expect((await readDataset(join(dir, "a b.jsonl"))).examples).toHaveLength(1);
    const fail = await failure(readDataset(join(dir, "none.jsonl")));
    expect(fail.exit).toBe(Exit.data);
    expect(fail.message).toContain("none.jsonl");
  });

  test.each(["", "\n\n", "\ufeff", "[]", " [ ] \n"])(
    "nothing in %j is an empty dataset",
    async (text) => {
      const fail = await failure(read(text));
      expect(fail.message).toBe(EMPTY_DATASET);
      expect(fail.exit).toBe(Exit.data);
    },
  );

  test("a line of 40 MB is refused without holding it", async () => {
    async function* huge() {
      yield bytes(`${GOOD}\n{"text":"`);
      for (let i = 0; i < 40; i++) yield new Uint8Array(2 ** 20).fill(0x61);
      yield bytes(`"}\n${GOOD}\n`);
    }
    const fail = await failure(collectRows(huge(), "huge.jsonl"));
    expect(fail.message).toStartWith("1 of 3 rows");
    expect(fail.why).toContain("line 2: the line has 41943051 bytes");
  });
});

/** A defect of line 4, between good lines, and what must be said of it. */
const DEFECTS: readonly (readonly [string, string | Uint8Array, string])[] = [
  ["no JSON", "prompt: a", "not valid JSON at column 1"],
  ["single quotes", "{'prompt':'a'}", "not valid JSON at column 2"],
  ["trailing comma", '{"prompt":"a","completion":"b",}', "not valid JSON at column 32"],
  ["no comma", '{"prompt":"a" "completion":"b"}', "not valid JSON at column 15"],
  ["breaks off", '{"prompt":"a","comp', "not valid JSON"],
  ["breaks off after a value", '{"prompt":"a"', "the line breaks off"],
  ["two objects", `${GOOD} ${GOOD}`, "more than one JSON value on the line"],
  ["two objects with a comma", `${GOOD},${GOOD}`, "not valid JSON"],
  ["comment", `${GOOD} // good`, "not valid JSON"],
  ["NaN", '{"prompt":"a","completion":NaN}', "not valid JSON at column 28"],
  ["duplicate key", '{"prompt":"a","prompt":"b","completion":"c"}', "duplicate key"],
  ["control character", '{"prompt":"a\tb","completion":"c"}', "control character"],
  ["NUL", '{"prompt":"a\0b","completion":"c"}', "a NUL byte at column 13"],
  ["lone surrogate", '{"prompt":"\\ud800","completion":"c"}', "surrogate"],
  [
    "invalid UTF-8",
    Uint8Array.from([...bytes('{"prompt":"'), 0xc3, 0x28, ...bytes('","completion":"b"}')]),
    "not valid UTF-8: byte 0xc3 at position 12",
  ],
  ["Latin-1", Uint8Array.from([...bytes('{"text":"caf'), 0xe9, ...bytes('"}')]), "not valid UTF-8"],
  ["array", "[1,2]", "a row must be a JSON object, got a list"],
  ["text", '"hello"', "a row must be a JSON object, got a string"],
  ["null", "null", "a row must be a JSON object, got null"],
  ["empty object", "{}", "no form of row has these fields"],
  ["unknown fields", '{"question":"a"}', "got ['question']"],
  [
    "missing field",
    '{"prompt":"a","text_":"b"}',
    "Invalid dataset at index 2: missing required fields ['completion']. " +
    "Expected fields: ['prompt', 'completion'], got: ['prompt', 'text_']",
  ],
  ["prompt is a number", '{"prompt":1,"completion":"b"}', "prompt must be a text, got a number"],
  ["empty answer", '{"prompt":"a","completion":" "}', "nothing to train on"],
  ["null answer", '{"prompt":"a","completion":null}', "completion is null"],
  ["empty text", '{"text":""}', "text is empty"],
  ["messages not a list", '{"messages":"a"}', "messages must be a list"],
  ["no messages", '{"messages":[]}', "the conversation is empty"],
  ["unknown role", '{"messages":[{"role":"me","content":"a"}]}', 'message 1 has role "me"'],
  ["no content", '{"messages":[{"role":"user"}]}', "message 1 needs content"],
  ["no answer", '{"messages":[{"role":"user","content":"a"}]}', "no assistant message"],
  [
    "wrong order",
    '{"messages":[{"role":"assistant","content":"a"},{"role":"user","content":"b"}]}',
    "begins with the assistant",
  ],
  [
    "user twice",
    '{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"},' +
    '{"role":"assistant","content":"c"}]}',
    "messages 1 and 2 are both from the user",
  ],
  [
    "late system",
    '{"messages":[{"role":"user","content":"a"},{"role":"system","content":"b"},' +
    '{"role":"assistant","content":"c"}]}',
    "message 2 is from the system",
  ],
  ["unknown speaker", '{"conversations":[{"from":"dog","value":"a"}]}', 'is from "dog"'],
  ["id outside", '{"input_ids":[1,9],"labels":[-100,9]}', "input_ids[1] is 9, which is outside"],
  ["negative id", '{"input_ids":[-1,2],"labels":[-100,2]}', "input_ids[0] is -1"],
  ["id not whole", '{"input_ids":[1.5,2],"labels":[-100,2]}', "input_ids[0] must be a token id"],
  ["label outside", '{"input_ids":[1,2],"labels":[-1,2]}', "labels[0] is -1"],
  ["labels too short", '{"input_ids":[1,2],"labels":[2]}', "labels has 1 entries, input_ids has 2"],
  ["nothing trained", '{"input_ids":[1,2],"labels":[1,-100]}', "no token is trained"],
  ["no ids", '{"input_ids":[],"labels":[]}', "no token is trained"],
];

describe("broken rows", () => {
  test.each(DEFECTS)("%s", async (_, defect, reason) => {
    const line = typeof defect === "string" ? bytes(defect) : defect;
    const data = Buffer.concat([bytes(`${GOOD}\n\n${GOOD}\r\n`), line, bytes(`\n${GOOD}\n`)]);
    for (const size of [5, 1 << 16]) {
      const fail = await failure(read(data, { vocabulary: 8 }, size));
      expect(fail.exit).toBe(Exit.data);
      expect(fail.message).toBe("1 of 4 rows of rows.jsonl cannot be used");
      expect(fail.why).toStartWith("line 4: ");
      expect(fail.why).toContain(reason);
    }
  });

  test("a last line that breaks off is called truncated", async () => {
    expect((await failure(read(`${GOOD}\n{"prompt":"a",`))).why).toContain(
      "line 2: the line breaks off",
    );
    const cut = bytes(`${GOOD}\n{"text":"ä`).slice(0, -1);
    expect((await failure(read(cut))).why).toContain("not valid UTF-8: the last character is cut");
  });

  test("UTF-16 is recognised", async () => {
    const utf16 = Buffer.from(`\ufeff${GOOD}\n`, "utf16le");
    expect((await failure(read(utf16))).why).toContain("the file is UTF-16");
    expect((await failure(read(utf16.subarray(2)))).why).toContain("the file is UTF-16");
  });

  test("all are counted, twenty are shown, each with its own line", async () => {
    const lines = Array.from({ length: 100 }, (_, i) => i % 2 ? "{" : GOOD);
    const fail = await failure(read(lines.join("\n")));
    expect(fail.message).toStartWith("50 of 100 rows");
    const shown = fail.why!.split("\n");
    expect(shown).toHaveLength(21);
    expect(shown.slice(0, 20).map((l) => Number(/^line (\d+):/.exec(l)![1])))
      .toEqual(Array.from({ length: 20 }, (_, i) => 2 * (i + 1)));
    expect(shown[20]).toBe("and 30 more");
  });

  test("elements of an array keep their lines, and one broken element hides no other", async () => {
    const why = (await failure(read('[\n{"text":"a"},\n{"text":b},\n{"text":"c"},\n{}\n]'))).why!;
    expect(why.split("\n").map((l) => l.slice(0, 7))).toEqual(["line 3:", "line 5:"]);
    expect((await failure(read('[{"text":"a"},]'))).why).toContain("comma before the closing");
    expect((await failure(read('[{"text":"a"}'))).why).toContain("closing bracket is missing");
    expect((await failure(read('[{"text":"a"}] x'))).why).toContain("after the closing bracket");
  });

  test("bytes of an array that are no UTF-8 are not replaced in silence", async () => {
    const data = Buffer.concat([bytes('[\n{"text":"caf'), Buffer.from([0xe9]), bytes('"}]')]);
    expect((await failure(read(data))).why).toStartWith(
      "line 2: not valid UTF-8: byte 0xe9 at position 13",
    );
    async function* huge() {
      yield bytes("[");
      for (let i = 0; i < 33; i++) yield new Uint8Array(2 ** 20).fill(0x20);
      yield bytes("]");
    }
    expect((await failure(collectRows(huge(), "huge.json"))).why).toContain("one object a line");
  });

  test("a few may be passed over, more than one in a hundred not", async () => {
    const lines = Array.from({ length: 200 }, () => GOOD);
    const with_ = (...at: number[]) => lines.map((l, i) => at.includes(i) ? "{" : l).join("\n");
    const { examples, rejected } = await read(with_(3, 150), { skipBad: true });
    expect(examples).toHaveLength(198);
    expect(rejected.map((r) => [r.line, r.text])).toEqual([[4, "{"], [151, "{"]]);
    expect((await failure(read(with_(3, 4, 5), { skipBad: true }))).message).toStartWith(
      "3 of 200",
    );
  });

  test("random damage is always reported on the damaged line", async () => {
    const rows = Array.from(
      { length: 40 },
      (_, i) => JSON.stringify({ prompt: `p${i}`, completion: "c" }),
    );
    for (let i = 0; i < 40; i++) {
      const damaged = rows.with(i, rows[i]!.slice(0, 1 + (i * 7) % (rows[i]!.length - 1)));
      const fail = await failure(read(damaged.join("\n"), {}, 1 + (i % 9)));
      expect(fail.why).toStartWith(`line ${i + 1}: `);
      expect(fail.why!.split("\n")).toHaveLength(1);
    }
  });
});
