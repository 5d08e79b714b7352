/** What whet writes, run by llama.cpp: does another program see the same model? */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportGgufLora } from "../../src/export/gguf_lora.ts";
import type { GgufQuant } from "../../src/export/gguf_mixtures.ts";
import { exportGguf } from "../../src/export/gguf_model.ts";
import { openModel } from "../../src/formats/model_folder.ts";
import { readNpy } from "../../src/formats/npy.ts";
import { type Adapter, readAdapter } from "../../src/formats/peft.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { testDevice } from "../../kernels/check.ts";
import {
  loadWeights,
  modelOf,
  openCheckpoint,
  openModel as openWhole,
} from "../../src/architectures/model.ts";
import { checkDrift } from "../../src/export/verify.ts";
import { divergence, logitsAt } from "../../src/evaluate/distributions.ts";
import { Embedder } from "../../src/evaluate/embed.ts";
import { openGgufModel } from "../../src/export/gguf_folder.ts";
import { Generator } from "../../src/generate/generator.ts";
import { Memory } from "../../src/graph/memory.ts";
import { inOne, llamaAs } from "../llama_as.ts";
import { type Oracle, startOracle } from "./oracle.ts";

setDefaultTimeout(120_000);
const fixtures = `${import.meta.dir}/../../../shared/fixtures/models`;
const started: Oracle | string = existsSync(fixtures)
  ? await startOracle()
  : `model fixtures are not at ${fixtures}`;
if (typeof started === "string") console.log(`skipped: ${started}`);
const oracle = started as Oracle;

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), "whet-"))));
afterAll(async () => {
  await rm(dir, { recursive: true });
  if (typeof started !== "string") await oracle.close();
});

/** GPT-2's references are the project's own. */
const folderOf = (model: string) =>
  model === "gpt2" ? `${import.meta.dir}/../fixtures/gpt2` : `${fixtures}/${model}`;

async function write(
  model: string,
  quant: GgufQuant,
  adapter?: Adapter,
): Promise<string> {
  using folder = await openCheckpoint(`${folderOf(model)}/hf`);
  const out = join(dir, `${model}-${quant}${adapter ? "-merged" : ""}.gguf`);
  // Gemma's own vocabulary is not byte-level; ids are what is compared.
  const tokenizerDir = model.startsWith("gemma") ? `${fixtures}/qwen2/hf` : undefined;
  await exportGguf({ model: folder, quant, out, adapter, tokenizerDir });
  return out;
}

const idsOf = async (model: string): Promise<number[]> =>
  await Bun.file(`${folderOf(model)}/ids.json`).json();

async function logitsOf(
  request: { model: string; lora?: string; ids: number[] },
) {
  const { logits, error } = await oracle.ask(request);
  if (error !== undefined) throw new Error(error);
  return new Float32Array(
    Uint8Array.from(Buffer.from(logits!, "base64")).buffer,
  );
}

/** What whet makes of texts. */
async function embeddingsOf(
  from: string,
  texts: readonly string[],
  pooling: "mean" | "cls",
  task?: string,
) {
  const model = await openWhole(from, task),
    memory = new Memory((await testDevice())!);
  const tokenizer = await loadTokenizer(from);
  await loadWeights(model, memory, Embedder.tensors(model).frozen);
  const size = { tokens: 64, sentences: texts.length };
  const embedder = await Embedder.create(model, memory, size, {
    pooling,
    normalise: false,
  });
  const all = await embedder.embed(
    texts.map((text) => ({ ids: tokenizer.encode(text) })),
  );
  embedder.free();
  memory.free();
  model.folder.close();
  return all;
}

/** llama.cpp gives the texts the same ids, and to these the same embeddings. */
async function expectEmbeddings(
  model: string,
  from: string,
  texts: readonly string[],
  ours: readonly Float32Array[],
) {
  const tokenizer = await loadTokenizer(from);
  const embed = texts.map((text) => tokenizer.encode(text));
  const { tokens, embeddings, error } = await oracle.ask({
    model,
    texts,
    embed,
  });
  expect(error).toBeUndefined();
  expect(tokens).toEqual(
    texts.map((text) => tokenizer.encode(text, { special: false })),
  );
  ours.forEach((own, i) => expect(cosine(own, embeddings![i]!)).toBeGreaterThan(0.99999));
}

function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [ab, aa, bb] = [[a, b], [a, a], [b, b]].map(([x, y]) =>
    Array.from(x!).reduce((sum, v, i) => sum + v * y![i]!, 0)
  );
  return ab! / Math.sqrt(aa! * bb!);
}

/**
 * Nats by which a type's predictions diverge at most, in the mean, from those of the same model in f32. Of
 * random weights and rows of 64 numbers, which no average makes smooth.
 */
const divergences: Partial<Record<GgufQuant, number>> = {
  f16: 1e-4,
  bf16: 1e-3,
  q8_0: 6e-3,
  q6_k: 3e-2,
  q5_k_m: 1e-1,
  q4_k_m: 4e-1,
};

/**
 * The predictions of a file beside those of the model in f32, both by llama.cpp, which rounds activations to
 * 8 bits where it multiplies them with blocks. Those of whet, which does not, must be nearer.
 */
async function expectNear(
  name: string,
  quant: GgufQuant,
  f32: string,
  path: string,
  ids: number[],
) {
  const theirs = async (model: string) => {
    const all = await logitsOf({ model, ids }), width = all.length / ids.length;
    return ids.map((_, t) => all.subarray(t * width, (t + 1) * width));
  };
  const [a, b] = [await theirs(f32), await theirs(path)],
    found = meanDivergence(a, b);
  if (process.env.SHOW) console.log(name, quant, "KL", found.toExponential(2));
  expect([quant, found < divergences[quant]!]).toEqual([quant, true]);
  if (quant !== "q8_0") return;
  const weights = meanDivergence(
    await predictions(f32, ids),
    await predictions(path, ids),
  );
  if (process.env.SHOW) {
    console.log(name, quant, "KL of the weights", weights.toExponential(2));
  }
  expect([quant, weights < found]).toEqual([quant, true]);
}

const meanDivergence = (
  p: readonly Float32Array[],
  q: readonly Float32Array[],
) => p.reduce((sum, one, i) => sum + divergence(one, q[i]!).kl, 0) / p.length;

/** What whet makes of a GGUF file. */
async function predictions(
  path: string,
  ids: number[],
): Promise<Float32Array[]> {
  const model = modelOf(openGgufModel(path)),
    memory = new Memory((await testDevice())!);
  await loadWeights(model, memory, Generator.tensors(model).frozen);
  const at = Array.from({ length: ids.length - 1 }, (_, t) => t);
  const found = await Array.fromAsync(logitsAt(model, memory, [{ ids, at }]));
  memory.free();
  model.folder.close();
  return found;
}

async function distance(
  model: string,
  name: string,
  found: Float32Array,
): Promise<number> {
  const expected = await readNpy(`${folderOf(model)}/${name}.npy`);
  expect(found.length).toBe(expected.data.length);
  return found.reduce(
    (max, value, i) => Math.max(max, Math.abs(value - Number(expected.data[i]))),
    0,
  );
}

describe.skipIf(typeof started === "string")("llama.cpp runs our files", () => {
  // llama.cpp takes GELU from a table of 16-bit values, so Phi and Gemma differ more.
  const models = [
    ["llama", 2e-4],
    ["llama_tied", 2e-4],
    ["phi2", 1e-2],
    ["qwen2", 2e-4],
    ["qwen3", 2e-4],
    ["gemma2", 1e-2],
    ["gemma3", 1e-2],
    ["gpt2", 1e-2],
  ] as const;
  for (const [model, bound] of models) {
    test(`${model}: greedy tokens and logits of transformers`, async () => {
      const path = await write(model, "f32");
      const reference = await Bun.file(`${folderOf(model)}/reference.json`)
        .json();
      const request = {
        model: path,
        ids: reference.prompt_ids as number[],
        greedy: 24,
      };
      const { ids, error } = await oracle.ask(request);
      expect(error).toBeUndefined();
      expect(ids).toEqual(reference.greedy_24);
      const logits = await logitsOf({ model: path, ids: await idsOf(model) });
      expect(await distance(model, "logits", logits)).toBeLessThan(bound);
    });

    test(`${model}: the adapter, merged and beside the model`, async () => {
      const adapter = await readAdapter(`${folderOf(model)}/peft`);
      const ids = await idsOf(model);
      const merged = await logitsOf({
        model: await write(model, "f32", adapter),
        ids,
      });
      expect(await distance(model, "logits_adapter", merged)).toBeLessThan(
        bound,
      );
      expect(await distance(model, "logits", merged)).toBeGreaterThan(
        10 * bound,
      );

      using folder = await openCheckpoint(`${folderOf(model)}/hf`);
      const lora = join(dir, `${model}-lora.gguf`);
      await exportGgufLora({ model: folder, adapter, out: lora });
      const beside = await logitsOf({
        model: join(dir, `${model}-f32.gguf`),
        lora,
        ids,
      });
      expect(await distance(model, "logits_adapter", beside)).toBeLessThan(
        bound,
      );
    });

    test(`${model}: every type loads and stays near`, async () => {
      const ids = await idsOf(model);
      const f32 = await write(model, "f32");
      for (const quant of Object.keys(divergences) as GgufQuant[]) {
        await expectNear(model, quant, f32, await write(model, quant), ids);
      }
    });
  }

  // No reference numbers: what whet generates from the folder, llama.cpp must generate from the file.
  const rope_parameters = { rope_theta: 10000, rope_type: "default" };
  const others: [
    string,
    Record<string, unknown>,
    Record<string, readonly string[]>?,
  ][] = [
    ["mistral", {
      architectures: ["MistralForCausalLM"],
      sliding_window: null,
    }],
    ["phi3", {
      architectures: ["Phi3ForCausalLM"],
      rope_parameters,
      sliding_window: null,
    }, inOne],
    // llama.cpp's context of 256 is longer than the original one, and so is ours: both take the long list.
    ["phi3, stretched", {
      model_type: "phi3",
      architectures: ["Phi3ForCausalLM"],
      max_position_embeddings: 256,
      original_max_position_embeddings: 32,
      rope_parameters: {
        rope_theta: 10000,
        rope_type: "longrope",
        long_factor: Array.from({ length: 16 }, (_, i) => 1.1 + i),
        short_factor: Array.from({ length: 16 }, (_, i) => 1 + i / 10),
        original_max_position_embeddings: 32,
      },
      sliding_window: null,
    }, inOne],
    [
      "smollm3",
      {
        architectures: ["SmolLM3ForCausalLM"],
        rope_parameters,
        num_hidden_layers: 4,
      },
    ],
  ];
  for (const [name, settings, fused] of others) {
    test(`${name}: greedy tokens and drift`, async () => {
      const from = await llamaAs({ model_type: name, ...settings }, fused);
      const out = join(dir, `${name}.gguf`);
      using folder = await openModel(from);
      const tokenizerDir = `${fixtures}/llama/hf`;
      await exportGguf({ model: folder, quant: "f32", out, tokenizerDir });
      checkDrift(out, folder);
      const model = await openWhole(from),
        memory = new Memory((await testDevice())!);
      await loadWeights(model, memory, Generator.tensors(model).frozen);
      const size = { slots: 1, context: 48, prefill: 8 };
      const generator = await Generator.create(model, memory, size);
      const { prompt_ids: ids } = await Bun.file(
        `${fixtures}/llama/reference.json`,
      ).json();
      const sampling = { temperature: 0, topP: 1, seed: 1 };
      const { ids: theirs, error } = await oracle.ask({
        model: out,
        ids,
        greedy: 24,
      });
      expect(error).toBeUndefined();
      for await (
        const answer of generator.answers(
          [{ ids, maxTokens: 24 }],
          new Set(),
          sampling,
        )
      ) expect([...theirs!]).toEqual(answer.ids);
      const small = join(dir, `${name}-q8_0.gguf`);
      await exportGguf({
        model: folder,
        quant: "q8_0",
        out: small,
        tokenizerDir,
      });
      await expectNear(name, "q8_0", out, small, await idsOf("llama"));
      generator.free();
      memory.free();
      model.folder.close();
      await rm(from, { recursive: true });
    });
  }

  test("bert: embeddings of texts", async () => {
    const texts = ["The quick water", "mulch, keeps the soil moist", "a"];
    const from = `${fixtures}/bert/hf`, out = join(dir, "bert.gguf");
    using folder = await openCheckpoint(from);
    for (const pooling of ["mean", "cls"] as const) {
      await exportGguf({ model: folder, quant: "f32", out, pooling });
      const ours = await embeddingsOf(from, texts, pooling);
      await expectEmbeddings(out, from, texts, ours);
    }
  });

  test("jina-embeddings-v3 with a task merged in: embeddings of texts", async () => {
    const from = `${import.meta.dir}/../fixtures/jina/hf`,
      out = join(dir, "jina.gguf");
    const texts = [
      "Mulch keeps the soil moist",
      "beans",
      "Prune the roses in March",
    ];
    for (const task of ["retrieval.query", "separation"]) {
      using folder = await openCheckpoint(from, task);
      await exportGguf({ model: folder, quant: "f32", out, pooling: "mean" });
      const ours = await embeddingsOf(from, texts, "mean", task);
      await expectEmbeddings(out, from, texts, ours);
    }
  });

  test("a model in parts is the model in one file", async () => {
    using folder = await openModel(`${fixtures}/llama/hf`);
    const out = join(dir, "split.gguf");
    const { path, paths } = await exportGguf({ model: folder, quant: "f32", out, splitBytes: 2e6 });
    expect(paths.length).toBeGreaterThan(2);
    const ids = await idsOf("llama");
    const whole = await logitsOf({ model: await write("llama", "f32"), ids });
    expect(await logitsOf({ model: path, ids })).toEqual(whole);
  });

  test("texts have the ids that training gave them", async () => {
    const tokenizer = await loadTokenizer(`${fixtures}/llama/hf`);
    const texts = [
      "model",
      " the  end\n\n\ttabs 123 4½",
      "naïve 🙂 日本",
      "don't 'RE <b>&amp;",
      "a\r\nb",
    ];
    const { tokens } = await oracle.ask({
      model: await write("llama", "q8_0"),
      texts,
    });
    expect(tokens).toEqual(
      texts.map((text) => tokenizer.encode(text, { special: false })),
    );
  });
});
