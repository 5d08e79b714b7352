import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fail } from "../base/fail.ts";
import { readSentencePiece } from "./sentencepiece.ts";
import { loadTokenizer } from "./tokenizer.ts";

const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))];
const bytes = (field: number, value: readonly number[]) => [
  ...varint(field * 8 + 2),
  ...varint(value.length),
  ...value,
];
const number = (field: number, value: number) => [...varint(field * 8), ...varint(value)];
const float = (field: number, value: number) => [
  ...varint(field * 8 + 5),
  ...new Uint8Array(Float32Array.of(value).buffer),
];
type Piece = readonly [text: string, score: number, type: number];
const piece = ([text, score, type]: Piece) =>
  bytes(1, [...bytes(1, [...Buffer.from(text)]), ...float(2, score), ...number(3, type)]);
const file = (kind: number, pieces: readonly Piece[], normalizer: readonly number[] = []) =>
  Uint8Array.from([
    ...pieces.flatMap(piece),
    ...bytes(2, number(3, kind)),
    ...bytes(3, [...normalizer]),
  ]);

const specials: Piece[] = [["<unk>", 0, 2], ["<s>", 0, 3], ["</s>", 0, 3]];
const byteTokens = [0xc3, 0xa9, 0x0a].map((
  byte,
): Piece => [`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, 0, 6]);
const bpe: Piece[] = [
  ...specials,
  ...byteTokens,
  ["▁a", -1, 1],
  ["bc", -2, 1],
  ["ab", -3, 1],
  ["▁", -4, 1],
  ["a", -5, 1],
  ["b", -6, 1],
  ["c", -7, 1],
  ["abc", 0, 4],
];
const keepSpaces = number(4, 0);

async function load(model: Uint8Array, files: Readonly<Record<string, object>> = {}) {
  const dir = await mkdtemp(join(tmpdir(), "whet-"));
  try {
    await writeFile(join(dir, "tokenizer.model"), model);
    for (const [name, value] of Object.entries(files)) {
      await writeFile(join(dir, name), JSON.stringify(value));
    }
    return await loadTokenizer(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

test("BPE joins by score, takes the user's pieces first and writes the rest in bytes", async () => {
  const tokenizer = await load(file(2, bpe, keepSpaces));
  const texts = (text: string) => tokenizer.encode(text).map((id) => tokenizer.tokenText(id)!);
  expect(texts("a")).toEqual(["<s>", "▁a"]);
  expect(texts("bc ab")).toEqual(["<s>", "▁", "bc", "▁a", "b"]);
  expect(texts("cabcb")).toEqual(["<s>", "▁", "c", "abc", "b"]);
  expect(texts("é\n")).toEqual(["<s>", "▁", "<0xC3>", "<0xA9>", "<0x0A>"]);
  expect(texts("xyb")).toEqual(["<s>", "▁", "<unk>", "b"]);
  expect(texts("a</s>a")).toEqual(["<s>", "▁a", "</s>", "▁a"]);
  expect([tokenizer.bos, tokenizer.eos, tokenizer.unk, tokenizer.addsBos]).toEqual([1, 2, 0, true]);
  for (const text of ["a  b", " a", "é a\né"]) {
    const ids = tokenizer.encode(text);
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(text);
    const stream = tokenizer.decoder({ skipSpecial: true });
    expect(ids.map((id) => stream.push(id)).join("") + stream.flush()).toBe(text);
  }
});

test("a unigram keeps the rules about spaces of the model", async () => {
  const pieces: Piece[] = [...specials, ["▁", -3, 1], ["a", -2, 1], ["▁a", -1, 1]];
  const tokenizer = await load(file(1, pieces), {
    "tokenizer_config.json": { tokenizer_class: "T5Tokenizer" },
    "added_tokens.json": { "<extra>": 9 },
  });
  expect(tokenizer.encode("  a   a ")).toEqual([5, 5, 2]);
  expect(tokenizer.encode("a<extra>", { special: false })).toEqual([5, 9]);
  expect(tokenizer.decode([5, 5])).toBe("a a");
  const shifted = load(file(1, pieces), {
    "tokenizer_config.json": { tokenizer_class: "XLMRobertaTokenizer" },
  });
  await expect(shifted).rejects.toThrow("numbers its pieces in a way of its own");
});

test("damaged models are refused", () => {
  const bad: [Uint8Array, string][] = [
    [new Uint8Array(), "no pieces"],
    [Uint8Array.of(0x0b), "not a SentencePiece model"],
    [Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), "cut off"],
    [Uint8Array.from(Array(20).fill(0xff)), "not a SentencePiece model"],
    [file(2, [...specials, ["a", 0, 1], ["a", 0, 1]]), "twice"],
    [file(2, [["a", 0, 1]]), "no unknown piece"],
    [file(3, specials), "model type is 3"],
    [file(2, [...specials, ["a", NaN, 1]]), "score NaN"],
    [file(2, [...specials, ["a", 0, 9]]), "type 9"],
    [Uint8Array.from(bytes(1, bytes(1, [0xff, 0xfe]))), "not UTF-8"],
  ];
  for (const [model, message] of bad) {
    let why = "";
    try {
      readSentencePiece(model);
    } catch (error) {
      expect(error).toBeInstanceOf(Fail);
      why = `${(error as Fail).message} ${(error as Fail).why}`;
    }
    expect(why).toContain(message);
  }
});

test("a model cut short or with any byte changed is read or refused, never worse", () => {
  const whole = file(2, bpe, keepSpaces);
  const attempt = (model: Uint8Array) => {
    try {
      expect(readSentencePiece(model).pieces.texts.length).toBeGreaterThan(0);
    } catch (error) {
      expect(error).toBeInstanceOf(Fail);
    }
  };
  for (let at = 0; at < whole.length; at++) {
    attempt(whole.subarray(0, at));
    for (const mask of [1, 0x80, 0xff]) {
      const changed = whole.slice();
      changed[at]! ^= mask;
      attempt(changed);
    }
  }
});
