import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { openGguf } from "../formats/gguf.ts";
import { smallTokenizerFiles } from "../text/testing.ts";
import { createTokenizer, loadTokenizer } from "../text/tokenizer.ts";
import { tokenizerMetadata } from "./gguf_tokenizer.ts";
import { tokenizerFromGguf } from "./gguf_tokenizer_read.ts";
import { findPretokenizer, pretokenizerHash } from "./pretokenizer.ts";

const fixtures = `${import.meta.dir}/../../../shared/fixtures/tokenizers`;
const present = existsSync(fixtures);
if (!present) console.log(`skipped: tokenizer fixtures are not at ${fixtures}`);

const valuesOf = (entries: readonly (readonly [string, { value: unknown }])[]) =>
  Object.fromEntries(entries.map(([key, { value }]) => [key, value]));

describe.skipIf(!present)("real vocabularies", () => {
  const known = [
    ["phi2", "phi-2", "fcace8b9cac38ce8"],
    ["gpt2", "gpt-2", "3ce83efda5659b07"],
    ["llama3.2", "llama-bpe", "0ef9807a4087ebef"],
  ] as const;
  for (const [folder, name, hash] of known) {
    test(`${folder} is known by its hash`, async () => {
      const tokenizer = await loadTokenizer(`${fixtures}/${folder}`);
      expect(pretokenizerHash(tokenizer)).toStartWith(hash);
      expect(findPretokenizer(tokenizer)).toEqual({ name });
    });
  }

  test("Phi-2's metadata equals what llama.cpp's converter writes", async () => {
    const tokenizer = await loadTokenizer(`${fixtures}/phi2`);
    const modelConfig = await Bun.file(`${fixtures}/phi2/config.json`).json();
    const { entries, warnings } = tokenizerMetadata(tokenizer, { vocabSize: 51200, modelConfig });
    using theirs = openGguf(`${fixtures}/vocab_gguf/phi2.gguf`);
    const wanted = [...theirs.metadata].filter(([key]) =>
      key.startsWith("tokenizer.") && !key.endsWith("add_bos_token")
    );
    expect(new Map(entries)).toEqual(new Map(wanted));
    expect(entries.map(([key]) => key)).toEqual(wanted.map(([key]) => key));
    expect(warnings).toEqual([]);
  });

  test("Llama 3.2: BOS is added, special tokens are control tokens", async () => {
    const tokenizer = await loadTokenizer(`${fixtures}/llama3.2`);
    const modelConfig = await Bun.file(`${fixtures}/llama3.2/config.json`).json();
    const { entries } = tokenizerMetadata(tokenizer, { vocabSize: 128256, modelConfig });
    const values = valuesOf(entries);
    expect(values["tokenizer.ggml.add_bos_token"]).toBe(true);
    expect(values["tokenizer.ggml.bos_token_id"]).toBe(128000);
    expect(values["tokenizer.ggml.eos_token_id"]).toBe(128009);
    const types = values["tokenizer.ggml.token_type"] as number[];
    expect(new Set(types.slice(0, 128000))).toEqual(new Set([1]));
    expect(new Set(types.slice(128000))).toEqual(new Set([3]));
  });
});

const small = (change: Record<string, unknown> = {}, config: Record<string, unknown> = {}) => {
  const files = smallTokenizerFiles(change);
  return createTokenizer({ ...files, config: { ...files.config, ...config } });
};

describe("a small vocabulary", () => {
  test("is padded to the model's rows; ids outside it are refused", () => {
    const tokenizer = small();
    const { entries, warnings } = tokenizerMetadata(tokenizer, { vocabSize: 264 });
    const values = valuesOf(entries);
    const tokens = values["tokenizer.ggml.tokens"] as string[];
    const types = values["tokenizer.ggml.token_type"] as number[];
    expect(tokens.slice(-3)).toEqual(["[PAD261]", "[PAD262]", "[PAD263]"]);
    expect([types.slice(0, 3), types.slice(-4)]).toEqual([[3, 3, 1], [1, 5, 5, 5]]);
    expect(values["tokenizer.ggml.merges"]).toEqual(["Ġ t", "h e", "Ġt he"]);
    expect(warnings[0]).toContain("splits text as gpt-2 does");
    expect(() => tokenizerMetadata(tokenizer, { vocabSize: 260 })).toThrow("ids up to 260");
  });

  test("added tokens: special, special by looks, and the user's own", () => {
    const added_tokens = ["<s>", "<|odd|>", "<mine>"].map((content, id) => (
      { id, content, special: id === 0 }
    ));
    const vocab = smallTokenizerFiles().json.model as { vocab: object };
    const shifted = Object.fromEntries(
      Object.entries(vocab.vocab).map(([token, id]) => [token, (id as number) + 1]),
    );
    const tokenizer = small({ added_tokens, model: { ...vocab, vocab: shifted } });
    const values = valuesOf(tokenizerMetadata(tokenizer, { vocabSize: 262 }).entries);
    expect((values["tokenizer.ggml.token_type"] as number[]).slice(0, 4)).toEqual([3, 3, 4, 1]);
  });

  test("what is added around a text is written, tokenizer_config.json has the last word", () => {
    const sp = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
    const sequence = (id: string) => ({ Sequence: { id, type_id: 0 } });
    const post_processor = {
      type: "TemplateProcessing",
      single: [sp("<s>"), sequence("A"), sp("</s>")],
      pair: [sp("<s>"), sequence("A"), sp("</s>"), sequence("B"), sp("</s>")],
      special_tokens: {
        "<s>": { id: "<s>", ids: [0], tokens: ["<s>"] },
        "</s>": { id: "</s>", ids: [1], tokens: ["</s>"] },
      },
    };
    const flags = (config: Record<string, unknown>) => {
      const { entries } = tokenizerMetadata(small({ post_processor }, config), { vocabSize: 261 });
      return valuesOf(entries.filter(([key]) => key.includes(".add_")));
    };
    const key = (kind: string) => `tokenizer.ggml.add_${kind}_token`;
    expect(flags({})).toEqual({ [key("bos")]: true, [key("eos")]: true, [key("sep")]: false });
    expect(flags({ add_bos_token: false })[key("bos")]).toBe(false);
  });

  test("chat templates, one or several by name", () => {
    const write = (chat_template: unknown) =>
      valuesOf(
        tokenizerMetadata(small({}, { chat_template }), { vocabSize: 261 }).entries
          .filter(([key]) => key.startsWith("tokenizer.chat")),
      );
    expect(write("plain")).toEqual({ "tokenizer.chat_template": "plain" });
    const several = [{ name: "default", template: "d" }, { name: "tool use", template: "t" }];
    expect(write(several)).toEqual({
      "tokenizer.chat_template": "d",
      "tokenizer.chat_template.tool_use": "t",
      "tokenizer.chat_templates": ["tool_use"],
    });
    const outside = tokenizerMetadata(small(), { vocabSize: 261, chatTemplate: "file" });
    expect(valuesOf(outside.entries)["tokenizer.chat_template"]).toBe("file");
  });
});

describe("vocabularies without bytes in the alphabet of GPT-2", () => {
  const added_tokens = [{ id: 0, content: "<unk>", special: true }];
  const metadata = (json: object) =>
    tokenizerMetadata(createTokenizer({ json: { added_tokens, ...json } }), { vocabSize: 7 });

  test("a unigram keeps its scores and its rules about spaces", () => {
    const vocab = [["<unk>", 0], ["\u2581", -3], ["a", -2], ["\u2581a", -1.5], ["b", -4]];
    const values = valuesOf(
      metadata({
        pre_tokenizer: { type: "Metaspace", prepend_scheme: "always" },
        normalizer: { type: "Replace", pattern: { Regex: " {2,}" }, content: " " },
        model: { type: "Unigram", unk_id: 0, vocab },
      }).entries,
    );
    expect(values["tokenizer.ggml.model"]).toBe("t5");
    expect(values["tokenizer.ggml.scores"]).toEqual([0, -3, -2, -1.5, -4, -10000, -10000]);
    expect(values["tokenizer.ggml.token_type"]).toEqual([2, 1, 1, 1, 1, 5, 5]);
    expect(values["tokenizer.ggml.add_space_prefix"]).toBe(true);
    expect(values["tokenizer.ggml.remove_extra_whitespaces"]).toBe(true);
  });

  test("merges with byte fallback become scores in the order of the merges", () => {
    const vocab = { "<unk>": 0, "<0x0A>": 1, a: 2, b: 3, ab: 4, aab: 5 };
    const { entries } = metadata({
      decoder: { type: "ByteFallback" },
      model: {
        type: "BPE",
        byte_fallback: true,
        unk_token: "<unk>",
        vocab,
        merges: ["a b", "a ab"],
      },
    });
    const values = valuesOf(entries);
    expect(values["tokenizer.ggml.model"]).toBe("llama");
    expect(values["tokenizer.ggml.token_type"]).toEqual([2, 6, 1, 1, 1, 1, 5]);
    const scores = values["tokenizer.ggml.scores"] as number[];
    expect(scores[4]!).toBeGreaterThan(scores[5]!);
    expect(scores[5]!).toBeGreaterThan(scores[2]!);
    expect(tokenizerFromGguf(new Map(entries)).encode("aab", { special: false })).toEqual([5]);
  });

  test("what llama.cpp has no name for is refused", () => {
    const model = { type: "WordLevel", vocab: { "<unk>": 0 }, unk_token: "<unk>" };
    expect(() => metadata({ model })).toThrow("cannot be written to GGUF");
  });
});

describe("the pre-tokenizer", () => {
  const sequence = (...pretokenizers: object[]) => ({
    pre_tokenizer: { type: "Sequence", pretokenizers },
  });
  const byteLevel = (use_regex: boolean) => ({
    type: "ByteLevel",
    add_prefix_space: false,
    use_regex,
  });
  const split = (Regex: string) => (
    { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false }
  );

  test("is found by its split pattern", () => {
    const smollm = small(sequence({ type: "Digits", individual_digits: true }, byteLevel(true)));
    expect(findPretokenizer(smollm).name).toBe("smollm");
    const qwen = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" +
      "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    expect(findPretokenizer(small(sequence(split(qwen), byteLevel(false)))).name).toBe("qwen2");
  });

  test("can be named, and is asked for when nothing matches", () => {
    const odd = small(sequence(split("[a-z]+"), byteLevel(false)));
    expect(() => findPretokenizer(odd)).toThrow("not known");
    expect(findPretokenizer(odd, "qwen2")).toEqual({ name: "qwen2" });
    expect(() => findPretokenizer(odd, "qwen3")).toThrow("qwen3 is not a GGUF pre-tokenizer");
  });
});
