// A GGUF file is the model that it was made of: in f32 it scores as the folder does, and in blocks, which
// the GPU reads as they are, as the same file dequantised before.
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { loadWeights, type Model, modelOf, openModel } from "../src/architectures/model.ts";
import { Scorer } from "../src/evaluate/score.ts";
import { openGgufModel } from "../src/export/gguf_folder.ts";
import { exportGguf } from "../src/export/gguf_model.ts";
import { type GgufQuant, ggufQuants } from "../src/export/gguf_mixtures.ts";
import { openModel as openFolder } from "../src/formats/model_folder.ts";
import { Generator } from "../src/generate/generator.ts";
import { Memory } from "../src/graph/memory.ts";
import { inOne, llamaAs } from "./llama_as.ts";

const fixtures = join(import.meta.dir, "../../shared/fixtures/models");
const device = existsSync(fixtures) ? await testDevice() : undefined;
if (!device) console.warn("SKIPPED GGUF models held against their folders");

const dir = mkdtempSync(join(tmpdir(), "whet-gguf-"));
const made: string[] = [dir];
afterAll(() => made.forEach((path) => rmSync(path, { recursive: true })));

const ids: number[] = device
  ? JSON.parse(readFileSync(join(fixtures, "llama/ids.json"), "utf8"))
  : [];

/** Log-probabilities of the ids, and the bytes of weights on the device. */
async function scored(model: Model): Promise<{ logprobs: number[]; bytes: number }> {
  const memory = new Memory(device!), before = device!.bytes;
  await loadWeights(model, memory, Generator.tensors(model).frozen);
  const bytes = device!.bytes - before;
  const scorer = await Scorer.create(model, memory, ids.length);
  const { logprobs } = (await scorer.score([ids]))[0]!;
  scorer.free();
  memory.free();
  model.folder.close();
  return { logprobs, bytes };
}

function worst(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((v, i) => Math.abs(v - b[i]!)));
}

async function write(folder: string, quant: GgufQuant, tokenizer = folder): Promise<string> {
  const out = join(dir, `${quant}.gguf`);
  using model = await openFolder(folder);
  await exportGguf({ model, quant, out, tokenizerDir: tokenizer, pretokenizer: "gpt-2" });
  return out;
}

const llama = join(fixtures, "llama/hf");
const madeOf = async (...given: Parameters<typeof llamaAs>) => {
  const folder = await llamaAs(...given);
  made.push(folder);
  return folder;
};
/** Longer than the original context are the 48 ids, and no longer than it are texts of 32. */
const longRope = {
  max_position_embeddings: 256,
  original_max_position_embeddings: 32,
  rope_parameters: {
    rope_theta: 10000,
    rope_type: "longrope",
    long_factor: Array.from({ length: 16 }, (_, i) => 1.1 + i),
    short_factor: Array.from({ length: 16 }, (_, i) => 1 + i / 10),
    original_max_position_embeddings: 32,
  },
};
const special = { bos_token_id: 0, eos_token_id: 0 };
const families: [string, () => Promise<string>][] = [
  ...["llama", "llama_tied", "phi2", "qwen2", "qwen3", "gemma2", "gemma3"].map((name) =>
    [name, () => Promise.resolve(join(fixtures, name, "hf"))] as [string, () => Promise<string>]
  ),
  ["mistral", () =>
    madeOf({
      model_type: "mistral",
      architectures: ["MistralForCausalLM"],
      sliding_window: null,
    })],
  ["smollm3", () =>
    madeOf({
      model_type: "smollm3",
      architectures: ["SmolLM3ForCausalLM"],
      num_hidden_layers: 4,
      no_rope_layers: [1, 1, 1, 0],
      ...special,
    })],
  ["phi3", () =>
    madeOf({
      model_type: "phi3",
      architectures: ["Phi3ForCausalLM"],
      sliding_window: null,
      rope_parameters: { rope_theta: 10000, rope_type: "default" },
      ...special,
    }, inOne)],
  ["phi3, stretched by LongRoPE", () =>
    madeOf({
      model_type: "phi3",
      architectures: ["Phi3ForCausalLM"],
      sliding_window: null,
      ...longRope,
      ...special,
    }, inOne)],
];

for (const [name, folder] of families) {
  test.skipIf(!device)(`${name}: in f32 as the folder, in q8_0 as dequantised`, async () => {
    const from = await folder();
    const tokenizer = existsSync(join(from, "tokenizer.json")) ? from : llama;
    const whole = await scored(await openModel(from));
    const f32 = await scored(modelOf(openGgufModel(await write(from, "f32", tokenizer))));
    expect(worst(f32.logprobs, whole.logprobs)).toBeLessThan(1e-5);
    await sameDequantised(await write(from, "q8_0", tokenizer));
  });
}

async function sameDequantised(path: string): Promise<void> {
  const blocks = await scored(modelOf(openGgufModel(path)));
  const dequantised = await scored(modelOf({ ...openGgufModel(path), quantised: undefined }));
  expect(worst(blocks.logprobs, dequantised.logprobs)).toBeLessThan(1e-5);
  expect(blocks.bytes).toBeLessThan(dequantised.bytes / 2);
}

for (const quant of Object.keys(ggufQuants) as GgufQuant[]) {
  test.skipIf(!device || /^(f|bf|q8)/.test(quant))(
    `llama in ${quant}: as dequantised`,
    async () => {
      await sameDequantised(await write(llama, quant));
    },
  );
}
