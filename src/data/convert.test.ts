import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { type ConvertOptions, convertRow, detect } from "./convert.ts";
import { csvValues } from "./csv.ts";
import type { Value } from "./json_values.ts";
import { parquetValues } from "./parquet.ts";
import { lockDifferences, promptLock } from "./prompt_lock.ts";
import { collectRows } from "./rows.ts";

const value = (row: unknown): Value => ({ line: 1, text: JSON.stringify(row), value: row });
const convert = (row: unknown, options: Partial<ConvertOptions>) =>
  convertRow(value(row), 0, {
    from: detect([value(row)])?.form ?? "text",
    to: "messages",
    ...options,
  });
const system = "You turn requests into JSON.";
const turns = (asked: string, said: string, first?: string) => ({
  messages: [
    ...(first === undefined ? [] : [{ role: "system", content: first }]),
    { role: "user", content: asked },
    { role: "assistant", content: said },
  ],
});

test("every single form becomes the same messages", () => {
  const rows = [
    { query: "q", data: { a: [1] } },
    { prompt: "q", completion: { a: [1] } },
    { prompt: "q", response: '{"a":[1]}' },
    { instruction: "q", input: "", output: '{"a":[1]}' },
    { instruction: "q", context: null, output: { a: [1] } },
    { gtm_prompt: "q", intent_ir: { a: [1] } },
    { conversations: [{ from: "human", value: "q" }, { from: "gpt", value: '{"a":[1]}' }] },
    turns("q", '{"a":[1]}'),
    { text: '### Instruction:\nq\n### Response:\n{"a":[1]}' },
  ];
  for (const row of rows) {
    expect(convert(row, { system })).toMatchObject({ row: turns("q", '{"a":[1]}', system) });
    expect(convert(row, {})).toMatchObject({ row: turns("q", '{"a":[1]}') });
  }
});

test("one system prompt replaces those of the rows, and says which they were", () => {
  const made = convert(turns("q", "a", "another"), { system });
  expect(made).toEqual({ row: turns("q", "a", system), system: "another" });
});

test("Alpaca text and columns, prompt and completion", () => {
  const row = { query: "q", data: "a" };
  expect(convert(row, { to: "text", system })).toMatchObject({
    row: { text: `### Instruction:\n${system}\n### Input:\nq\n### Response:\na` },
  });
  expect(convert({ instruction: "i", input: "x", output: "a" }, { to: "text" })).toMatchObject({
    row: { text: "### Instruction:\ni\n### Input:\nx\n### Response:\na" },
  });
  expect(convert(row, { to: "alpaca" })).toMatchObject({
    row: { instruction: "q", input: "", output: "a" },
  });
  expect(convert(row, { to: "prompt", system })).toMatchObject({
    row: { prompt: `${system}\n\nq`, completion: "a" },
  });
});

test("the two CCP templates, word for word, between the tokenizer's begin and end", () => {
  const row = { gtm_prompt: "find leads", intent_ir: { a: 1 } };
  expect(convert(row, { to: "cot", system, eos: "</s>" })).toMatchObject({
    row: {
      prompt: `[INST] ${system}\n\nUser request: find leads [/INST]\n`,
      completion: '{\n  "a": 1\n}</s>',
    },
  });
  expect(convert({ ...row, reasoning: "- a\n- b" }, { to: "cot", system, eos: "</s>" }))
    .toMatchObject({
      row: {
        prompt:
          `[INST] ${system}\n\nIMPORTANT: You must REASON about the request before producing ` +
          "structured output.\n\nUser request: find leads [/INST]\n",
        completion:
          '<reasoning>\n- a\n- b\n</reasoning>\n\n<intent_ir>\n{\n  "a": 1\n}\n</intent_ir></s>',
      },
    });
});

test("preferences and triplets: implied prompts, equal answers, what is missing", () => {
  const [asked, good, bad] = [{ role: "user", content: "q" }, { role: "assistant", content: "g" }, {
    role: "assistant",
    content: "b",
  }];
  expect(convert({ chosen: [asked, good], rejected: [asked, bad] }, { to: "dpo" })).toEqual({
    row: { prompt: [asked], chosen: [good], rejected: [bad] },
  });
  expect(convert({ prompt: "p", chosen: "a", rejected: "a" }, { to: "dpo" })).toEqual({
    identical: true,
  });
  expect(convert({ prompt: "p", chosen: "a" }, { to: "dpo", from: "dpo" })).toEqual({
    problem: "missing required fields ['rejected']. Expected fields: ['prompt', 'chosen', " +
      "'rejected'], got: ['prompt', 'chosen']",
  });
  expect(convert({ query: "q", positive: "p", negative: "n" }, { to: "triplets" })).toEqual({
    row: { anchor: "q", positive: "p", negative: "n" },
  });
  expect(convert({ prompt: "p", completion: "a" }, { to: "dpo" })).toHaveProperty("problem");
});

test("a conversation of many turns is refused where it does not fit", () => {
  const row = { messages: [...turns("q", "a").messages, ...turns("r", "b").messages] };
  expect(convert(row, { to: "prompt" })).toEqual({
    problem: "the conversation has 4 turns; only --to messages can hold that",
  });
  expect(convert(row, {})).toEqual({ row, system: undefined });
});

test("the form is that of most rows, with their share", () => {
  const rows = [...Array(3).fill({ query: "q", data: "a" }), { text: "t" }].map(value);
  expect(detect(rows)).toEqual({ form: "raw", share: 0.75 });
  expect(detect([value({ a: 1 })])).toBeUndefined();
});

async function* pieces(text: string, size: number) {
  const all = new TextEncoder().encode(text);
  for (let at = 0; at < all.length; at += size) yield all.subarray(at, at + size);
}

test("CSV as RFC 4180 has it, in whatever pieces it comes", async () => {
  const text =
    '\uFEFFquestion,answer\r\n"a ""quoted"", with\r\nlines",yes\r\n\r\nü,\r\n"x"y,1\r\na,b,c\r\nd,"e"';
  for (const size of [1, 5, 1000]) {
    const values = await Array.fromAsync(csvValues(pieces(text, size)));
    expect(values.map(({ line, value, problem }) => [line, value ?? problem])).toEqual([
      [2, { question: 'a "quoted", with\r\nlines', answer: "yes" }],
      [5, { question: "ü", answer: "" }],
      [6, '"y" after the quote that closes a cell'],
      [7, "3 cells, the header has 2 cells"],
      [8, { question: "d", answer: "e" }],
    ]);
  }
  const open = await Array.fromAsync(csvValues(pieces('a,b\n1,2\n3,"4\n5', 100)));
  expect(open.at(-1)).toMatchObject({
    line: 3,
    problem: "the quote that opens a cell is never closed",
  });
});

test("Parquet: texts, numbers, lists and structures; a broken file is an error with its name", async () => {
  const path = join(tmpdir(), `whet-${process.pid}.parquet`);
  const rows = Array.from({ length: 25_000 }, (_, i) => ({
    prompt: `question ${i}`,
    id: BigInt(i),
    messages: turns(`q${i}`, "a").messages,
  }));
  try {
    await Bun.write(
      path,
      parquetWriteBuffer({
        columnData: [
          { name: "prompt", data: rows.map(({ prompt }) => prompt), type: "STRING" },
          { name: "id", data: rows.map(({ id }) => id), type: "INT64" },
          { name: "messages", data: rows.map(({ messages }) => messages), type: "JSON" },
        ],
      }),
    );
    const values = await Array.fromAsync(parquetValues(path));
    expect(values).toHaveLength(25_000);
    expect(values[24_999]).toMatchObject({
      line: 25_000,
      value: { prompt: "question 24999", id: 24_999, messages: turns("q24999", "a").messages },
    });
    await Bun.write(path, "PAR1 broken");
    await expect(Array.fromAsync(parquetValues(path))).rejects.toThrow(
      "cannot read the Parquet file",
    );
  } finally {
    rmSync(path, { force: true });
  }
});

test("a prompt lock tells another system prompt, template and stop token", async () => {
  const tokenizer = { eosIds: [0], tokenText: () => "</s>" };
  const rows = (first?: string) => [turns("q", "a", first)];
  const trained = promptLock(rows(system), "template", tokenizer);
  expect(lockDifferences(trained, promptLock(rows(system), "template", tokenizer))).toEqual([]);
  expect(lockDifferences(trained, promptLock(rows("b"), "template", tokenizer)))
    .toEqual(["the system prompt is another one"]);
  expect(lockDifferences(trained, promptLock(rows(), "template", tokenizer)))
    .toEqual(["the system prompt of the training is missing"]);
  expect(lockDifferences(trained, promptLock(rows(system), "other", tokenizer)))
    .toEqual(["the chat template is another one"]);
  expect(lockDifferences(trained, promptLock([{ prompt: "q" }], "template", tokenizer)))
    .toHaveLength(2);
  expect(
    lockDifferences(
      trained,
      promptLock(rows(system), "template", { eosIds: [1], tokenText: () => "<end>" }),
    ),
  ).toEqual(["answers end with <end>, trained was </s>"]);
  const ids = promptLock([{ ids: [1], labels: [1] }], "template", tokenizer);
  expect(lockDifferences(ids, promptLock(rows("c"), "template", tokenizer))).toEqual([]);
  const mixed = promptLock([...rows("a"), ...rows("b")], "template", tokenizer);
  expect(mixed.system_sha256).toBeUndefined();
  expect(lockDifferences(mixed, promptLock(rows("c"), "template", tokenizer))).toEqual([]);
});

test("what convert writes is what training reads", async () => {
  for (const to of ["messages", "prompt", "alpaca", "text", "cot"] as const) {
    const made = convert({ gtm_prompt: "q", intent_ir: { a: 1 }, reasoning: "- r" }, {
      to,
      system,
    });
    const text = JSON.stringify((made as { row: object }).row);
    const { examples } = await collectRows(pieces(text, 100), to);
    expect(examples).toHaveLength(1);
  }
});
