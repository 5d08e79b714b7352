import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openGguf } from "../formats/gguf.ts";
import { array, text } from "../formats/gguf_types.ts";
import { openModel } from "../formats/model_folder.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { openGgufModel } from "./gguf_folder.ts";
import { exportGguf } from "./gguf_model.ts";
import { tokenizerFromGguf } from "./gguf_tokenizer_read.ts";
import { tokenizerMetadata } from "./gguf_tokenizer.ts";

const fixtures = `${import.meta.dir}/../../../shared/fixtures`;
const present = existsSync(fixtures);
if (!present) console.log(`skipped: fixtures are not at ${fixtures}`);

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), "whet-"))));
afterAll(() => rm(dir, { recursive: true }));

/** Keys of config.json that the two must share. */
const essential = [
  "model_type",
  "vocab_size",
  "hidden_size",
  "intermediate_size",
  "num_hidden_layers",
  "num_attention_heads",
  "num_key_value_heads",
  "max_position_embeddings",
  "tie_word_embeddings",
  "partial_rotary_factor",
] as const;

describe.skipIf(!present)("a GGUF file is the folder it was made from", () => {
  for (const model of ["llama", "llama_tied", "phi2", "qwen2", "qwen3"]) {
    test(model, async () => {
      using folder = await openModel(`${fixtures}/models/${model}/hf`);
      const out = join(dir, `${model}.gguf`);
      await exportGguf({ model: folder, quant: "f32", out });
      using back = openGgufModel(out);
      for (const key of essential) {
        if (key in back.config) expect([key, back.config[key]]).toEqual([key, folder.config[key]!]);
      }
      const rope = folder.config.rope_parameters as Record<string, unknown>;
      if (model !== "phi2") expect(back.config.rope_parameters).toEqual(rope as never);
      expect([...back.tensors.keys()].sort()).toEqual([...folder.tensors.keys()].sort());
      for (const [name, { shape }] of folder.tensors) {
        expect(back.tensors.get(name)!.shape).toEqual(shape);
        expect(back.readF32(name)).toEqual(folder.readF32(name));
        expect(back.readF32(name, 3, 17)).toEqual(folder.readF32(name, 3, 17));
        expect(back.readBytes(name, 40, 4000 % (shape[0]! * 4))).toEqual(
          folder.readBytes(name, 40, 4000 % (shape[0]! * 4)),
        );
      }
      const tokenizer = await loadTokenizer(`${fixtures}/models/${model}/hf`);
      const sample = "hello <|im_start|>user\n the 123 é";
      expect(back.tokenizer.encode(sample)).toEqual(tokenizer.encode(sample));
      const messages = [{ role: "user", content: "hi" }];
      expect(back.template!.render(messages)).toBe("<|im_start|>user\nhi<|im_end|>\n");
    });
  }

  test("block types are dequantised; models differ in their hash", async () => {
    const path = (quant: string) => `${fixtures}/models/llama/gguf/convert-${quant}.gguf`;
    using quantised = openGgufModel(path("q8_0"));
    using whole = openGgufModel(path("f32"));
    const name = "model.layers.1.self_attn.k_proj.weight";
    const [left, right] = [quantised.readF32(name, 5, 9), whole.readF32(name, 5, 9)];
    expect(left.length).toBe(4 * 256);
    left.forEach((value, i) => expect(Math.abs(value - right[i]!)).toBeLessThan(2e-2));
    expect(left).not.toEqual(right);
    expect(quantised.hash()).not.toBe(whole.hash());
    expect(whole.hash()).toBe(openGgufModel(path("f32")).hash());
  });
});

/** Texts and ids of a llama.cpp vocabulary test. */
async function cases(input: string, output: string): Promise<[string, number[]][]> {
  const texts = (await Bun.file(input).text()).split("\n__ggml_vocab_test__\n").slice(0, -1);
  const lines = (await Bun.file(output).text()).split("\n");
  return texts.map((text, i) => [text, lines[i]!.trim().split(/\s+/).filter(Boolean).map(Number)]);
}

describe.skipIf(!present)("the tokenizer inside a GGUF file", () => {
  const folder = `${fixtures}/tokenizers`;

  test("GPT-2 and Phi-2 give llama.cpp's ids", async () => {
    const gpt2 = `${folder}/vocab_gguf/ggml-vocab-gpt-2.gguf`;
    const all = [
      [gpt2, await cases(`${gpt2}.inp`, `${gpt2}.out`)],
      [
        `${folder}/vocab_gguf/phi2.gguf`,
        await cases(`${folder}/phi2/cases.inp`, `${folder}/phi2/cases.out`),
      ],
    ] as const;
    for (const [path, expected] of all) {
      using file = openGguf(path);
      const tokenizer = tokenizerFromGguf(file.metadata);
      for (const [text, ids] of expected) {
        expect(tokenizer.encode(text, { special: false })).toEqual(ids);
      }
    }
  });

  test("Llama 3.2 there and back", async () => {
    const tokenizer = await loadTokenizer(`${folder}/llama3.2`);
    const { entries } = tokenizerMetadata(tokenizer, { vocabSize: 128256 });
    const back = tokenizerFromGguf(new Map(entries));
    for (
      const [text, ids] of await cases(
        `${folder}/llama3.2/cases.inp`,
        `${folder}/llama3.2/cases.out`,
      )
    ) {
      expect(back.encode(text, { special: false })).toEqual(ids);
    }
    expect(back.encode("hi")).toEqual([128000, 6151]);
    expect([back.bos, back.eos, back.addsBos]).toEqual([128000, 128009, true]);
  });

  for (const name of ["llama-spm", "phi-3", "bert-bge"]) {
    test(`${name} gives llama.cpp's ids`, async () => {
      const path = `${folder}/vocab_gguf/ggml-vocab-${name}.gguf`;
      using file = openGguf(path);
      const tokenizer = tokenizerFromGguf(file.metadata);
      const all = await cases(`${path}.inp`, `${path}.out`);
      expect(all.length).toBeGreaterThan(40);
      for (const [text, ids] of all) {
        expect(tokenizer.encode(text, { special: false })).toEqual(ids);
        const stream = tokenizer.decoder();
        const streamed = ids.map((id) => stream.push(id)).join("") + stream.flush();
        expect(streamed).toBe(tokenizer.decode(ids));
        if (name !== "bert-bge") expect(streamed).toBe(text);
      }
      const around = name === "bert-bge" ? [[101], [102]] : [[1], []];
      expect([tokenizer.prefix, tokenizer.suffix] as unknown).toEqual(around);
    });
  }

  for (const name of ["llama-spm", "bert"]) {
    test(`${name} there and back`, async () => {
      const tokenizer = await loadTokenizer(`${folder}/${name}`);
      const vocabSize = tokenizer.vocabSize + 2;
      const { entries } = tokenizerMetadata(tokenizer, { vocabSize });
      const back = tokenizerFromGguf(new Map(entries));
      const all = await cases(`${folder}/${name}/cases.inp`, `${folder}/${name}/cases.out`);
      for (const [text, ids] of all) expect(back.encode(text, { special: false })).toEqual(ids);
      expect(back.encode("hi")).toEqual(tokenizer.encode("hi"));
    });
  }

  for (const name of ["gemma2", "gemma3", "bert", "qwen2", "qwen3"]) {
    test(`${name}'s metadata equals what llama.cpp's converter writes`, async () => {
      const dir = `${folder}/../models/${name}`;
      using file = openGguf(`${dir}/gguf/convert-q8_0.gguf`);
      const theirs = [...file.metadata].filter(([key]) =>
        key.startsWith("tokenizer.") && !key.endsWith("token_type_count")
      );
      const modelConfig = await Bun.file(`${dir}/hf/config.json`).json();
      const { entries } = tokenizerMetadata(await loadTokenizer(`${dir}/hf`), {
        vocabSize: modelConfig.vocab_size,
        modelConfig,
        // The tiny vocabularies are no vocabulary that a hash knows.
        pretokenizer: name.startsWith("gemma") ? undefined : "gpt-2",
      });
      expect(entries.map(([key]) => key)).toEqual(theirs.map(([key]) => key));
      expect(new Map(entries)).toEqual(new Map(theirs));
    });
  }
});

test("lists of a vocabulary that do not fit together are refused", () => {
  const base: [string, ReturnType<typeof text>][] = [
    ["tokenizer.ggml.model", text("gpt2")],
    ["tokenizer.ggml.pre", text("gpt-2")],
    ["tokenizer.ggml.tokens", array("string", ["a", "b"])],
    ["tokenizer.ggml.merges", array("string", [])],
  ];
  const withEntry = (...entry: [string, ReturnType<typeof text>]) => new Map([...base, entry]);
  expect(tokenizerFromGguf(new Map(base)).encode("ab")).toEqual([0, 1]);
  const bad: [string, ReturnType<typeof text>, string][] = [
    ["tokenizer.ggml.token_type", array("i32", [1]), "1 token types for 2 tokens"],
    ["tokenizer.ggml.token_type", array("string", ["1", "1"]), "expected an array of numbers"],
    ["tokenizer.ggml.merges", array("string", ["a b"]), "not in the vocabulary"],
    ["tokenizer.ggml.merges", text("a b"), "expected an array of strings"],
    ["tokenizer.ggml.bos_token_id", { type: "u32", value: 2 }, "expected 0 to 1"],
    ["tokenizer.ggml.pre", text("constructor"), "pre-tokenizer constructor is not known"],
  ];
  for (const [key, value, message] of bad) {
    expect(() => tokenizerFromGguf(withEntry(key, value))).toThrow(message);
  }
});
