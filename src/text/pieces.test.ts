import { describe, expect, test } from "bun:test";
import { createDecoder } from "./decoders.ts";
import { createNormalizer } from "./normalizers.ts";
import { compilePattern } from "./pattern.ts";
import { createPreTokenizer } from "./pre_tokenizers.ts";
import { smallTokenizerFiles } from "./testing.ts";
import { randomTexts } from "./testing_texts.ts";
import { createTokenizer } from "./tokenizer.ts";
import { createUnigram } from "./unigram.ts";

// The answers in this file are those of Hugging Face tokenizers 0.23.2 (Rust).

test("normalizers", () => {
  const bert = { type: "BertNormalizer", clean_text: true, handle_chinese_chars: true };
  const cases: [object, string, string][] = [
    [{ ...bert, lowercase: true }, "É\u0007\u200b ΣΑΣ 日本\u00a0x\ufffd", "e σασ  日  本  x"],
    [{ ...bert, lowercase: false, strip_accents: false }, "É\tİ", "É İ"],
    [{ type: "Lowercase" }, "ΣΑΣ İ", "σασ i̇"],
    [{ type: "StripAccents" }, "e\u0301é", "eé"],
    [{ type: "NFKC" }, "ﬁ①Ａ", "fi1A"],
    [{ type: "Strip", strip_left: true, strip_right: false }, "\u0085\u3000 a ", "a "],
    [{ type: "Replace", pattern: { Regex: " {2,}" }, content: "$&" }, "a   b", "a$&b"],
    [{ type: "Prepend", prepend: "▁" }, "", ""],
    [{ type: "Nmt" }, "a\u0001\u200bb\u2028", "a b "],
  ];
  for (const [step, text, wanted] of cases) expect(createNormalizer(step)(text)).toBe(wanted);
  expect(() => createNormalizer({ type: "Magic" })).toThrow("does not know");
});

test("pre-tokenizers", () => {
  const meta = { type: "Metaspace", replacement: "▁" };
  const split = (behavior: string, invert = false) => (
    { type: "Split", pattern: { Regex: "\\s+" }, behavior, invert }
  );
  const cases: [object, string, string[]][] = [
    [{ type: "Digits", individual_digits: true }, "a½Ⅷ٣b", ["a", "½", "Ⅷ", "٣", "b"]],
    [{ type: "Digits", individual_digits: false }, "a½Ⅷ٣b", ["a", "½Ⅷ٣", "b"]],
    [{ type: "Whitespace" }, "don't ½ x\u200dy", ["don", "'", "t", "½", "x\u200dy"]],
    [{ type: "WhitespaceSplit" }, " a\u0085b\ufeff c", ["a", "b\ufeff", "c"]],
    [{ type: "Punctuation" }, "a$b…c", ["a", "$", "b", "…", "c"]],
    [{ type: "BertPreTokenizer" }, "a, b!?", ["a", ",", "b", "!", "?"]],
    [{ ...meta, prepend_scheme: "always" }, "a  b", ["▁a", "▁", "▁b"]],
    [{ ...meta, prepend_scheme: "never" }, "a b", ["a", "▁b"]],
    [{ ...meta, prepend_scheme: "first", split: false }, "a b", ["▁a▁b"]],
    [split("Removed"), "a  b", ["a", "b"]],
    [split("Isolated"), "a  b", ["a", "  ", "b"]],
    [split("MergedWithPrevious"), "a  b", ["a  ", "b"]],
    [split("MergedWithNext"), "a  b", ["a", "  b"]],
    [split("Removed", true), "a  b", ["  "]],
    [{ type: "CharDelimiterSplit", delimiter: "." }, "a.b", ["a", "b"]],
  ];
  for (const [step, text, wanted] of cases) {
    expect(createPreTokenizer(step).split(text, true)).toEqual(wanted);
  }
  expect(() => createPreTokenizer({ type: "UnicodeScripts" })).toThrow("does not know");
});

describe("patterns", () => {
  test("of the families mean what they mean in Oniguruma", () => {
    const cases: [string, string, string[]][] = [
      ["\\s+(?!\\S)|\\S+|\\s", "a  b\u0085", ["a", " ", " ", "b", "\u0085"]],
      ["\\p{L}++|\\d|(?>ab|a)b", "añ1", ["añ", "1"]],
      ["[^(\\s|[.,!?…])]+", "a.b(c d", ["a", "b", "c", "d"]],
      ["(?i:'s|'t)", "x'S'ſ", ["'S", "'ſ"]],
      ["\\p{Han}+|[\\p{Hiragana}]", "日本ひら", ["日本", "ひ", "ら"]],
      ["[a\\-z]+|\\x41|\\u0042", "a-zAB", ["a-z", "A", "B"]],
      ["\\w+", "a½①_", ["a½", "_"]],
      ["(?<=\\p{L})\\d|\\bdon", "a1 2 don", ["1", "don"]],
    ];
    for (const [pattern, text, wanted] of cases) {
      expect(text.match(compilePattern(pattern)) as unknown).toEqual(wanted);
    }
  });

  test("that JavaScript cannot do are refused by name", () => {
    for (
      const bad of ["(a", "a)", "[a", "\\", "\\G", "(?m:a)", "[a&&b]", "(?(1)a)", "\\xZZ", "*"]
    ) {
      expect(() => compilePattern(bad)).toThrow("pattern of the tokenizer cannot be used");
    }
    expect(() => compilePattern("(".repeat(100_000))).toThrow("cannot be used");
    expect(() => compilePattern("(".repeat(1000))).toThrow("cannot be used");
  });

  test("that take for ever are stopped", () => {
    const step = { type: "Split", pattern: { Regex: "(a|a)*c|x" }, behavior: "Isolated" };
    const { split } = createPreTokenizer(step);
    const started = performance.now();
    try {
      split("a".repeat(200), true);
    } catch (error) {
      expect(String(error)).toMatch(/too long|lose/);
    }
    expect(performance.now() - started).toBeLessThan(60_000);
  });
});

test("decoders", () => {
  const llama = {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  };
  const cases: [object | null, string[], string][] = [
    [llama, ["▁▁a", "<0xE4>", "<0xBD>", "<0xA0>", "<0xff>x", "▁b"], " a你<0xff>x b"],
    [llama, ["▁a", "<0xE4>", "<0xBD>", "b"], "a\ufffd\ufffdb"],
    [
      { type: "WordPiece", prefix: "##", cleanup: true },
      ["don", "'", "t", "a", "##b", "."],
      "don ' t ab.",
    ],
    [{ type: "Metaspace", prepend_scheme: "always" }, ["▁a", "▁b"], "a b"],
    [{ type: "Metaspace", prepend_scheme: "never" }, ["▁a", "▁b"], " a b"],
    [{ type: "BPEDecoder", suffix: "</w>" }, ["a", "b</w>", "c</w>"], "ab c"],
    [null, ["a", "b"], "a b"],
  ];
  for (const [step, tokens, wanted] of cases) {
    expect(createDecoder(step)(tokens).join("")).toBe(wanted);
  }
  expect(() => createDecoder({ type: "CTC" })).toThrow("does not know");
});

test("the unigram's cut is the best of all cuts", () => {
  const vocab: [string, number][] = [
    ["?", -9],
    ["a", -2],
    ["b", -2.5],
    ["ab", -3.9],
    ["ba", -4.2],
    ["aba", -5.1],
    ["bb", -6],
  ];
  const scores = vocab.map(([, score]) => score);
  const encode = createUnigram({ tokens: vocab.map(([token]) => token), scores, unk: 0 });
  const best = (text: string): number =>
    text === "" ? 0 : Math.max(
      ...vocab.flatMap(([token, score]) =>
        text.startsWith(token) ? [score + best(text.slice(token.length))] : []
      ),
    );
  for (let bits = 0; bits < 512; bits++) {
    const text = bits.toString(2).replaceAll("0", "a").replaceAll("1", "b");
    const ids: number[] = [];
    encode(text, ids);
    expect(ids.map((id) => vocab[id]![0]).join("")).toBe(text);
    expect(ids.reduce((sum, id) => sum + scores[id]!, 0)).toBeCloseTo(best(text), 9);
  }
  const ids: number[] = [];
  encode("axyzb", ids);
  expect(ids).toEqual([1, 0, 2]);
});

describe("added tokens", () => {
  const added = (id: number, content: string, more: object = {}) => (
    { id, content, special: true, ...more }
  );
  const tokenizer = createTokenizer(smallTokenizerFiles({
    added_tokens: [
      added(0, "<s>"),
      added(1, "</s>", { lstrip: true, rstrip: true }),
      added(900, "cat", { single_word: true, special: false }),
      added(901, "<s>>"),
    ],
  }));
  const texts = (text: string, plain?: boolean) =>
    tokenizer.encode(text, { plain }).map((id) => tokenizer.tokenText(id)!);

  test("the longest is taken; white space goes where they say; whole words only", () => {
    expect(texts("<s>><s>")).toEqual(["<s>>", "<s>"]);
    expect(texts("a  </s> \nb")).toEqual(["a", "</s>", "b"]);
    expect(texts("cat cat")).toEqual(["cat", "Ġ", "cat"]);
    expect(texts("cats")).not.toContain("cat");
    expect(texts("𝔸cat")).not.toContain("cat");
  });

  test("spelled out in plain text special tokens stay text, others do not", () => {
    const ids = tokenizer.encode("<s>a</s> cat", { plain: true });
    expect(ids).not.toContain(0);
    expect(ids).not.toContain(1);
    expect(ids).toContain(900);
    expect(tokenizer.decode(ids)).toBe("<s>a</s> cat");
    expect(tokenizer.encode("<s><s>", { plain: [[3, 6]] })[0]).toBe(0);
    expect(tokenizer.encode("<s><s>", { plain: [[3, 6]] }).slice(1)).not.toContain(0);
  });
});

test("2,000 random Unicode texts come back, whole and streamed", () => {
  const tokenizer = createTokenizer(smallTokenizerFiles());
  for (const text of randomTexts(2000, 1)) {
    const ids = tokenizer.encode(text);
    const stream = tokenizer.decoder();
    expect(tokenizer.decode(ids)).toBe(text);
    expect(ids.map((id) => stream.push(id)).join("") + stream.flush()).toBe(text);
  }
  expect(tokenizer.decode(tokenizer.encode("a\ud800b"))).toBe("a\ufffdb");
});
