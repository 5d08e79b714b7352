// A very small random model of each family in a temporary folder, for tests that need a model and nothing else.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manifest, specOf } from "../src/architectures/model.ts";
import type { TokenRow } from "../src/architectures/packed.ts";
import { normalFill } from "../src/base/random.ts";
import { writeSafetensors } from "../src/formats/safetensors.ts";
import { count } from "../src/graph/tensor.ts";
import type { RunSettings } from "../src/trainer/prepare.ts";
import { noise } from "../kernels/check.ts";

const common = {
  hidden_size: 64,
  intermediate_size: 160,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  max_position_embeddings: 128,
  vocab_size: 300,
  bos_token_id: 0,
  eos_token_id: 0,
};
const configs = {
  llama: {
    ...common,
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    num_key_value_heads: 2,
    head_dim: 16,
    hidden_act: "silu",
    rms_norm_eps: 1e-5,
    rope_parameters: { rope_theta: 10000, rope_type: "default" },
    tie_word_embeddings: true,
  },
  phi: {
    ...common,
    architectures: ["PhiForCausalLM"],
    model_type: "phi",
    hidden_act: "gelu_new",
    layer_norm_eps: 1e-5,
    rope_parameters: { rope_theta: 10000, rope_type: "default", partial_rotary_factor: 0.5 },
    tie_word_embeddings: false,
  },
  bert: {
    ...common,
    architectures: ["BertModel"],
    model_type: "bert",
    vocab_size: 1536, // as many as the built-in model's tokenizer has
    hidden_act: "gelu",
    type_vocab_size: 2,
    layer_norm_eps: 1e-12,
  },
};

/**
 * Writes config.json and model.safetensors; the caller removes the folder.
 * @param times what the weights of this name are multiplied with
 * @param changes to config.json
 */
export async function tinyModel(
  family: keyof typeof configs = "llama",
  times: (name: string) => number = () => 1,
  changes: Record<string, unknown> = {},
): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), "whet-tiny-"));
  const config = { ...configs[family], ...changes };
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
  await writeSafetensors(
    join(dir, "model.safetensors"),
    manifest(specOf(config)).map((t, i) => {
      const data = normalFill(11, i, count(t.shape), t.shape.length === 1 ? 0.1 : 0.15);
      if (/norm/i.test(t.name) && t.name.endsWith("weight")) {
        data.forEach((v, j) => data[j] = 1 + v);
      }
      const by = times(t.name);
      data.forEach((v, j) => data[j] = v * by);
      return {
        name: t.name,
        dtype: "F32" as const,
        shape: t.shape,
        data: new Uint8Array(data.buffer),
      };
    }),
  );
  return dir;
}

/** Rows of 6 to 29 random tokens; the second half of each is supervised. */
export function tinyRows(n: number, seed = 3): TokenRow[] {
  const next = noise(seed), whole = (below: number) => Math.floor((next() + 1) / 2 * below);
  return Array.from({ length: n }, () => {
    const ids = Array.from({ length: 6 + whole(24) }, () => 1 + whole(299));
    return { ids, labels: ids.map((id, t) => t < ids.length / 2 ? -100 : id) };
  });
}

export const tinySettings: RunSettings = {
  best: "val_loss",
  full: false,
  rank: 4,
  alpha: 8,
  use_rslora: false,
  dropout: 0.1,
  lr: 1e-2,
  scheduler: "cosine",
  warmup: 0.1,
  weight_decay: 0.01,
  max_grad_norm: 1,
  betas: [0.9, 0.999],
  eps: 1e-8,
  epochs: 1,
  iters: 20,
  batch: 4,
  accum: 1,
  max_seq: 128,
  packing: false,
  shuffle: true,
  seed: 5,
  grad_checkpoint: "off",
  eval_every: "epoch",
};
