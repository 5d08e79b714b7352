/**
 * Writes a model folder of a well-known shape with random weights: for measuring speed and memory, and
 * for nothing that needs sense. Same shape, same seed: same bytes.
 *
 *   bun scripts/random_model.ts SHAPE DIR [--layers N] [--seed 1] [--shard-mb 2048]
 *
 * Weights are f16 from N(0, 0.02²), norms around 1. The tokenizer has a token for each byte, so ids stay
 * below 260 while the vocabulary has the size of the real model's. Memory does not grow with the model.
 */
import { createCipheriv } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { manifest, specOf } from "../src/architectures/model.ts";
import { fromF32 } from "../src/base/bits.ts";
import { writeFile } from "../src/base/durable.ts";
import { normalFill, streamOf } from "../src/base/random.ts";
import { humanBytes, thousands } from "../src/base/text.ts";
import { type TensorSource, writeSafetensors } from "../src/formats/safetensors.ts";
import { count, type Tensor } from "../src/graph/tensor.ts";
import { byteAlphabet } from "../src/text/byte_level.ts";
import { tokenizerFiles } from "../src/text/bpe_train.ts";

const special = { bos_token_id: 0, eos_token_id: 0, pad_token_id: 0 };
const llama = {
  ...special,
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  dtype: "float16",
  hidden_act: "silu",
  rms_norm_eps: 1e-5,
};
const llama3 = {
  ...llama,
  vocab_size: 128_256,
  max_position_embeddings: 131_072,
  rope_parameters: {
    rope_theta: 500_000,
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  },
};

/** The config.json of each shape, as the real model has it (special tokens apart). */
const shapes: Record<string, Record<string, unknown> & { num_hidden_layers: number }> = {
  "smollm-135m": {
    ...llama,
    vocab_size: 49_152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    max_position_embeddings: 2048,
    rope_parameters: { rope_theta: 10_000, rope_type: "default" },
    tie_word_embeddings: true,
  },
  "llama-1b": {
    ...llama3,
    hidden_size: 2048,
    intermediate_size: 8192,
    num_hidden_layers: 16,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    rope_parameters: { ...llama3.rope_parameters, factor: 32 },
    tie_word_embeddings: true,
  },
  "phi-2": {
    ...special,
    architectures: ["PhiForCausalLM"],
    model_type: "phi",
    dtype: "float16",
    hidden_act: "gelu_new",
    layer_norm_eps: 1e-5,
    vocab_size: 51_200,
    hidden_size: 2560,
    intermediate_size: 10_240,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    max_position_embeddings: 2048,
    rope_parameters: { rope_theta: 10_000, rope_type: "default", partial_rotary_factor: 0.4 },
    tie_word_embeddings: false,
  },
  "llama-8b": {
    ...llama3,
    hidden_size: 4096,
    intermediate_size: 14_336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    tie_word_embeddings: false,
  },
};

const END = "<|endoftext|>";
const CHAT_TEMPLATE = "{% for message in messages %}" +
  "{{ '<|' + message['role'] + '|>' + message['content'] }}" +
  "{% if message['role'] == 'assistant' %}{{ '<|endoftext|>' }}{% endif %}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

/** Elements made at once. */
const PIECE = 2 ** 22;

const usage = `bun scripts/random_model.ts SHAPE DIR [--layers N] [--seed 1] [--shard-mb 2048]
shapes: ${Object.keys(shapes).join(", ")}`;
const { values: flags, positionals: [shape, dir] } = parseArgs({
  allowPositionals: true,
  options: {
    layers: { type: "string" },
    seed: { type: "string", default: "1" },
    "shard-mb": { type: "string", default: "2048" },
  },
});
if (!shape || !dir || !shapes[shape]) {
  console.error(shape && !shapes[shape] ? `there is no shape ${shape}\n${usage}` : usage);
  process.exit(2);
}
if (existsSync(dir) && readdirSync(dir).length > 0) {
  console.error(`${dir} is not empty: name a new folder`);
  process.exit(2);
}
const config = { ...shapes[shape] };
if (flags.layers) config.num_hidden_layers = positive("layers", flags.layers);
const seed = positive("seed", flags.seed);
const shardBytes = positive("shard-mb", flags["shard-mb"]) * 2 ** 20;

const began = performance.now();
const tensors = manifest(specOf(config));
const shards = inShards(tensors, shardBytes);
const weightMap: Record<string, string> = {};
for (const [i, shard] of shards.entries()) {
  const name = shards.length === 1
    ? "model.safetensors"
    : `model-${five(i + 1)}-of-${five(shards.length)}.safetensors`;
  await writeSafetensors(join(dir, name), shard.map(source));
  for (const t of shard) weightMap[t.name] = name;
  console.error(`${name}: ${shard.length} tensors`);
}
const parameters = tensors.reduce((sum, t) => sum + count(t.shape), 0);
if (shards.length > 1) {
  await writeJson("model.safetensors.index.json", {
    metadata: { total_parameters: parameters, total_size: parameters * 2 },
    weight_map: weightMap,
  });
}
const tokens = [END, ...["system", "user", "assistant"].map((role) => `<|${role}|>`)];
const files = tokenizerFiles({
  tokens: [...tokens, ...[...byteAlphabet].sort()],
  merges: [],
  special: tokens,
}, {
  endOfText: END,
  chatTemplate: CHAT_TEMPLATE,
  maxLength: Number(config.max_position_embeddings),
});
await writeJson("tokenizer.json", files.tokenizer);
await writeJson("tokenizer_config.json", files.config);
await writeJson("generation_config.json", special);
await writeJson("config.json", config); // last: a folder without it is no model
console.error(
  `${dir}: ${thousands(parameters)} parameters, ${humanBytes(parameters * 2)} in ${
    ((performance.now() - began) / 1000).toFixed(0)
  } s`,
);

function positive(flag: string, text: string): number {
  const n = Number(text);
  if (Number.isSafeInteger(n) && n > 0) return n;
  console.error(`--${flag} takes a whole number above 0, not "${text}"\n${usage}`);
  process.exit(2);
}

function five(n: number): string {
  return String(n).padStart(5, "0");
}

async function writeJson(name: string, value: unknown): Promise<void> {
  await writeFile(join(dir!, name), JSON.stringify(value, null, 2) + "\n");
}

/** Consecutive tensors, as many to a shard as it holds; a larger one has a shard of its own. */
function inShards(all: readonly Tensor[], most: number): Tensor[][] {
  const shards: Tensor[][] = [];
  let bytes = Infinity;
  for (const t of all) {
    const size = count(t.shape) * 2;
    if (bytes + size > most) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)!.push(t);
    bytes += size;
  }
  return shards;
}

function source(t: Tensor): TensorSource {
  const around = t.name.includes("norm") && t.name.endsWith("weight") ? 1 : 0;
  return { name: t.name, dtype: "F16", shape: t.shape, data: () => pieces(t, around) };
}

/**
 * f16 numbers, each one of 65,536 drawn from N(around, 0.02²), chosen by a word of an AES-CTR stream:
 * drawing each anew would take minutes a billion.
 */
function* pieces(t: Tensor, around: number): Generator<Uint8Array> {
  const key = new Uint8Array(16);
  new DataView(key.buffer).setFloat64(0, seed);
  new DataView(key.buffer).setUint32(8, streamOf(t.name));
  const random = createCipheriv("aes-128-ctr", key, new Uint8Array(16));
  const drawn = normalFill(seed, streamOf("weights"), 2 ** 16, 0.02).map((x) => x + around);
  const table = new Uint16Array(fromF32(drawn, "F16").buffer);
  const zeros = new Uint8Array(PIECE * 2), n = count(t.shape);
  for (let done = 0; done < n; done += PIECE) {
    const bytes = random.update(zeros.subarray(0, 2 * Math.min(PIECE, n - done)));
    const words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
    for (let i = 0; i < words.length; i++) words[i] = table[words[i]!]!;
    yield bytes;
  }
}
