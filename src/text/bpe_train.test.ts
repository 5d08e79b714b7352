import { describe, expect, test } from "bun:test";
import { type Bpe, GPT2_SPLIT, tokenizerFiles, trainBpe } from "./bpe_train.ts";
import { toByteLevel } from "./byte_level.ts";
import { createTokenizer } from "./tokenizer.ts";

const SPECIAL = ["<|endoftext|>", "<|user|>", "<|assistant|>"];
const TEXTS = [
  'lend the blue kite to ana {"type":"command","who":"ana"}',
  "lend the red kite to bo, 12 days",
  "take the blue kite back from ana, it's 3 o'clock",
  "der Käfer läuft — naïve 日本語 🙂\n\tindented  twice",
];
const PROBES = [
  ...TEXTS,
  "",
  " ",
  "  leading and trailing  ",
  "unseen wörds ᚠᛇᚻ\u0000\u007f",
  '{"a":{"b":[1,2,3.14]},"c":"x y"}\r\n',
  "can't we'll I'd THEY'RE",
];

/** Encodes by the definition: in each piece, the adjacent pair of the earliest merge joins first. */
function encode(bpe: Bpe, text: string): number[] {
  const rank = new Map(bpe.merges.map(([a, b], i) => [`${a} ${b}`, i]));
  const id = new Map(bpe.tokens.map((t, i) => [t, i]));
  const ids: number[] = [];
  for (const [piece] of text.matchAll(GPT2_SPLIT)) {
    const parts = [...toByteLevel(piece)];
    for (;;) {
      const ranks = parts.slice(1).map((p, i) => rank.get(`${parts[i]} ${p}`) ?? Infinity);
      const best = Math.min(...ranks);
      if (best === Infinity) break;
      const at = ranks.indexOf(best);
      parts.splice(at, 2, parts[at]! + parts[at + 1]!);
    }
    ids.push(...parts.map((p) => id.get(p)!));
  }
  return ids;
}

function load(bpe: Bpe) {
  const { tokenizer, config } = tokenizerFiles(bpe, {
    endOfText: "<|endoftext|>",
    chatTemplate: "",
    maxLength: 64,
  });
  return createTokenizer({
    json: JSON.parse(JSON.stringify(tokenizer)),
    config: JSON.parse(JSON.stringify(config)),
  });
}

describe("trainBpe", () => {
  test("the written tokenizer gives the ids of the definition and gives the text back", () => {
    for (const options of [{}, { loneSpace: true, loneDigits: true }]) {
      const bpe = trainBpe(TEXTS, { vocabSize: 330, special: SPECIAL, ...options });
      const tokenizer = load(bpe);
      for (const text of PROBES) {
        const ids = tokenizer.encode(text);
        expect(ids).toEqual(encode(bpe, text));
        if (ids.length > 0) expect(tokenizer.decode(ids)).toBe(text);
      }
      expect(tokenizer.encode("<|user|>ana<|assistant|>").at(0)).toBe(1);
      expect(tokenizer.encode("<|user|>ana<|assistant|>").at(-1)).toBe(2);
    }
  });

  test("merges the most frequent pair first and breaks ties in order", () => {
    const bpe = trainBpe(["ab ab ab cd cd xy xy"], {
      vocabSize: 1000,
      special: [],
      loneSpace: true,
    });
    expect(bpe.merges).toEqual([["a", "b"], ["c", "d"], ["x", "y"]]);
  });

  test("counts overlapping repeats as merging leaves them", () => {
    const bpe = trainBpe(["aaaa aaaa"], { vocabSize: 258, special: [], loneSpace: true });
    expect(bpe.merges).toEqual([["a", "a"], ["aa", "aa"]]);
  });

  test("is the same twice and does not depend on the order of the texts", () => {
    const options = { vocabSize: 320, special: SPECIAL };
    const once = trainBpe(TEXTS, options);
    expect(trainBpe(TEXTS, options)).toEqual(once);
    expect(trainBpe(TEXTS.toReversed(), options)).toEqual(once);
  });

  test("a lone space leaves a word the same tokens in a sentence and in JSON", () => {
    const bpe = trainBpe(TEXTS, { vocabSize: 340, special: SPECIAL, loneSpace: true });
    const word = encode(bpe, "kite");
    expect(word).toHaveLength(1);
    expect(encode(bpe, " kite").slice(1)).toEqual(word);
    expect(encode(bpe, '"kite').slice(1)).toEqual(word);
  });

  test("lone digits stay apart", () => {
    const bpe = trainBpe(["12 12 12 a12 12"], { vocabSize: 400, special: [], loneDigits: true });
    expect(encode(bpe, "12")).toHaveLength(2);
  });
});
