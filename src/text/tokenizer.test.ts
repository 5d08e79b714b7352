import { describe, expect, spyOn, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fail } from "../base/fail.ts";
import { smallTokenizerFiles as files } from "./testing.ts";
import { createTokenizer, loadTokenizer } from "./tokenizer.ts";

const fixtures = `${import.meta.dir}/../../../shared/fixtures/tokenizers`;
const present = existsSync(fixtures);
if (!present) console.log(`skipped: tokenizer cases are not at ${fixtures}`);

/** Records of a llama.cpp case file with the ids of each, no special tokens added. */
async function cases(folder: string): Promise<{ text: string; ids: number[] }[]> {
  const input = await Bun.file(`${folder}/cases.inp`).text();
  const output = await Bun.file(`${folder}/cases.out`).text();
  const texts = input.split("\n__ggml_vocab_test__\n");
  const lines = output.split("\n");
  return texts.slice(0, -1).map((text, i) => ({
    text,
    ids: lines[i]!.trim().split(/\s+/).filter(Boolean).map(Number),
  }));
}

describe.skipIf(!present)("against Hugging Face and llama.cpp ids", () => {
  for (const name of ["phi2", "llama3.2", "gpt2", "bert", "llama-spm"]) {
    test(name, async () => {
      const tokenizer = await loadTokenizer(`${fixtures}/${name}`);
      const all = await cases(`${fixtures}/${name}`);
      expect(all.length).toBeGreaterThan(40);
      for (const { text, ids } of all) {
        expect(tokenizer.encode(text, { special: false })).toEqual(ids);
        if (name === "bert") continue;
        expect(tokenizer.decode(ids)).toBe(text);
        const stream = tokenizer.decoder();
        const streamed = ids.map((id) => stream.push(id)).join("") + stream.flush();
        expect(streamed).toBe(text);
      }
    });
  }

  test("special tokens around a text", async () => {
    const llama = await loadTokenizer(`${fixtures}/llama3.2`);
    expect(llama.addsBos).toBe(true);
    expect([llama.bos, llama.eos]).toEqual([128000, 128009]);
    expect([...llama.eosIds].sort()).toEqual([128001, 128008, 128009]);
    expect(llama.encode("hi")).toEqual([128000, 6151]);
    expect(llama.encode("<|begin_of_text|>hi")).toEqual([128000, 6151]);
    expect(llama.encode("<|begin_of_text|>hi", { special: false })).toEqual([128000, 6151]);
    expect(llama.encode("")).toEqual([128000]);
    expect(llama.decode([128000, 6151], { skipSpecial: true })).toBe("hi");
    expect(llama.isSpecial(128000)).toBe(true);

    const bert = await loadTokenizer(`${fixtures}/bert`);
    expect(bert.encode("Hello")).toEqual([101, 7592, 102]);
    expect([bert.prefix, bert.suffix]).toEqual([[101], [102]]);
    const stream = bert.decoder({ skipSpecial: true });
    const ids = bert.encode("embeddings are fun");
    expect(ids.map((id) => stream.push(id)).join("") + stream.flush()).toBe("embeddings are fun");

    const phi = await loadTokenizer(`${fixtures}/phi2`);
    expect(phi.addsBos).toBe(false);
    expect(phi.vocabSize).toBe(50295);
    expect(phi.decode([50300])).toBe("");
    expect(() => phi.decode([51200])).toThrow("token id 51200 is outside the vocabulary");
    expect(phi.encode("    x")).toHaveLength(2);
  });
});

describe("a small byte-level tokenizer", () => {
  const tokenizer = createTokenizer(files());

  test("gives every text back, whole and streamed", () => {
    const texts = ["", " the the", "naïve 🙂 \u{10ffff}", "\ufeffmark", "a\r\n\0b", "½ Ⅷ ٣"];
    for (const text of texts) {
      const ids = tokenizer.encode(text);
      expect(tokenizer.decode(ids)).toBe(text);
      const stream = tokenizer.decoder();
      expect(ids.map((id) => stream.push(id)).join("") + stream.flush()).toBe(text);
    }
  });

  test("a stream waits for the rest of a character and replaces a broken one", () => {
    const ids = tokenizer.encode("é");
    const stream = tokenizer.decoder();
    expect([stream.push(ids[0]!), stream.push(ids[1]!), stream.flush()]).toEqual(["", "é", ""]);
    expect([stream.push(ids[0]!), stream.flush()]).toEqual(["", "\ufffd"]);
    expect(stream.push(tokenizer.idOf("a")!)).toBe("a");
  });

  test("special tokens are found in the text and can be left out of it", () => {
    const ids = tokenizer.encode("<s> the</s>");
    expect(ids).toEqual([0, tokenizer.idOf("Ġthe")!, 1]);
    expect(tokenizer.decode(ids)).toBe("<s> the</s>");
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(" the");
    expect(tokenizer.tokenText(ids[1]!)).toBe("Ġthe");
  });

  test("ids outside the vocabulary are refused, padding of the model is empty", () => {
    expect(() => tokenizer.decode([tokenizer.vocabSize])).toThrow("outside the vocabulary");
    expect(() => tokenizer.decode([-1])).toThrow("outside the vocabulary");
    expect(() => tokenizer.decode([1.5])).toThrow("outside the vocabulary");
    const padded = createTokenizer({ ...files(), modelConfig: { vocab_size: 300 } });
    expect(padded.decode([299])).toBe("");
    expect(() => padded.decode([300])).toThrow("0 to 299");
  });

  test("every id that ends generation is known", () => {
    const several = createTokenizer({
      ...files(),
      generationConfig: { eos_token_id: [7, 1] },
      modelConfig: { eos_token_id: 9 },
    });
    expect([several.eos, several.eosIds]).toEqual([1, [1, 7, 9]]);
  });
});

test("the tokenizer's own BOS is not doubled and its EOS follows", () => {
  const processor = {
    type: "TemplateProcessing",
    single: [
      { SpecialToken: { id: "<s>", type_id: 0 } },
      { Sequence: { id: "A", type_id: 0 } },
      { SpecialToken: { id: "</s>", type_id: 0 } },
    ],
    pair: [],
    special_tokens: {
      "<s>": { id: "<s>", ids: [0], tokens: ["<s>"] },
      "</s>": { id: "</s>", ids: [1], tokens: ["</s>"] },
    },
  };
  const tokenizer = createTokenizer(files({ post_processor: processor }));
  const a = tokenizer.idOf("a")!;
  expect(tokenizer.addsBos).toBe(true);
  expect(tokenizer.encode("a")).toEqual([0, a, 1]);
  expect(tokenizer.encode("<s>a")).toEqual([0, a, 1]);
  expect(tokenizer.encode("a", { special: false })).toEqual([a]);
});

test("single digits are split as Rust splits them, fractions included", () => {
  // "½" is C2 BD: " ½" as one piece would merge the space with its first byte.
  const { json } = files();
  const model = json.model as { vocab: Record<string, number>; merges: unknown[] };
  model.vocab["ĠÂ"] = 1000;
  model.merges.push(["Ġ", "Â"]);
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, use_regex: true };
  const digits = { type: "Digits", individual_digits: true };
  const with_ = (...pretokenizers: object[]) =>
    createTokenizer(files({ model, pre_tokenizer: { type: "Sequence", pretokenizers } }));
  expect(with_(byteLevel).encode("4 ½")).toContain(1000);
  expect(with_(digits, byteLevel).encode("4 ½")).not.toContain(1000);
});

describe("a tokenizer that would lose text says so", () => {
  test("a byte that is not in the vocabulary", () => {
    const tokenizer = createTokenizer(files({}, 128));
    expect(tokenizer.decode(tokenizer.encode("plain"))).toBe("plain");
    expect(() => tokenizer.encode("é")).toThrow("would lose part of the text");
  });

  test("a pattern the regular expression engine gives up on", () => {
    const tokenizer = createTokenizer(files());
    const match = spyOn(String.prototype, "match").mockReturnValueOnce(null);
    try {
      expect(() => tokenizer.encode("text")).toThrow("would lose part of the text");
    } finally {
      match.mockRestore();
    }
  });
});

describe("a damaged tokenizer.json is refused", () => {
  const model = files().json.model as { vocab: Record<string, number> };
  const bad: [string, Record<string, unknown>, string][] = [
    ["no model", { model: undefined }, "no model"],
    ["no vocabulary", { model: { type: "BPE", merges: [] } }, "no vocabulary"],
    ["no merges", { model: { ...model, merges: undefined } }, "no merges"],
    ["a merge of three", { model: { ...model, merges: ["a b c"] } }, 'merge "a b c"'],
    ["a merge outside", { model: { ...model, merges: ["q z"] } }, "not in the vocabulary"],
    ["a negative id", { model: { ...model, vocab: { ...model.vocab, zz: -1 } } }, "has id -1"],
    ["a text id", { model: { ...model, vocab: { ...model.vocab, zz: "5" } } }, "has id 5"],
    ["an id twice", { model: { ...model, vocab: { ...model.vocab, zz: 5 } } }, "two tokens"],
    ["an id of 10^9", { model: { ...model, vocab: { ...model.vocab, zz: 1e9 } } }, "has id"],
    ["an added token without id", { added_tokens: [{ content: "<s>" }] }, "added token"],
    ["an unknown step", { pre_tokenizer: { type: "Magic" } }, "does not know"],
  ];
  for (const [name, change, message] of bad) {
    test(name, () => {
      const attempt = () => createTokenizer(files(change));
      expect(attempt).toThrow(Fail);
      expect(attempt).toThrow(message);
    });
  }
});

test("a folder without tokenizer.json says what is there instead", async () => {
  const dir = await mkdtemp(join(tmpdir(), "whet-"));
  try {
    await expect(loadTokenizer(dir)).rejects.toThrow("no tokenizer.json and no tokenizer.model");
    await writeFile(join(dir, "tokenizer.model"), "x");
    await expect(loadTokenizer(dir)).rejects.toThrow("tokenizer.model: it is cut off");
    await writeFile(join(dir, "tokenizer.json"), "version https://git-lfs.github.com/spec/v1\n");
    await expect(loadTokenizer(dir)).rejects.toThrow("Git LFS pointer");
    await writeFile(join(dir, "tokenizer.json"), "{");
    await expect(loadTokenizer(dir)).rejects.toThrow("is not JSON");
  } finally {
    await rm(dir, { recursive: true });
  }
});
