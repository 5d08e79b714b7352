import { ConfigReader } from "../architectures/config.ts";
import { Exit, Fail } from "../base/fail.ts";
import { bool, f32, type GgufValue, text, u32 } from "../formats/gguf_types.ts";
import type { Generated, GgufFamily } from "./gguf_family.ts";

const layers = "model.layers.{}";
const attention = {
  "model.embed_tokens": "token_embd",
  [`${layers}.input_layernorm`]: "blk.{}.attn_norm",
  [`${layers}.self_attn.q_proj`]: "blk.{}.attn_q",
  [`${layers}.self_attn.k_proj`]: "blk.{}.attn_k",
  [`${layers}.self_attn.v_proj`]: "blk.{}.attn_v",
  lm_head: "output",
};

interface Sizes {
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

function sizes(config: ConfigReader): Sizes {
  const width = config.size("hidden_size");
  const heads = config.size("num_attention_heads");
  return {
    width,
    heads,
    kvHeads: config.size("num_key_value_heads", heads),
    headDim: config.size("head_dim", width / heads),
  };
}

/**
 * Divisors of the rotary frequencies for Llama 3's long context: 1 for short wavelengths, `factor`
 * for those longer than the original context, between them an interpolation. f32[headDim / 2].
 */
function ropeFactors(config: Record<string, unknown>): Generated[] {
  const reader = new ConfigReader(config);
  const { theta, scaling } = reader.rope();
  if (scaling?.type !== "llama3") return [];
  const { headDim } = sizes(reader);
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = scaling;
  // Every step is rounded to float32, as the converter computes it: the bytes are compared.
  const round = Math.fround;
  const values = new Float32Array(headDim / 2).map((_, i) => {
    const frequency = round(1 / round(theta ** round(2 * i / headDim)));
    const wavelength = round(2 * Math.PI / frequency);
    if (wavelength < originalContext / high) return 1;
    if (wavelength > originalContext / low) return factor;
    const smooth = round(round(round(originalContext / wavelength) - low) / (high - low));
    return 1 / round(round(round(1 - smooth) / factor) + smooth);
  });
  return [{ name: "rope_freqs.weight", shape: [values.length], values }];
}

function linearScaling(config: ConfigReader): [string, GgufValue][] {
  const { scaling } = config.rope();
  if (scaling?.type !== "linear") return [];
  return [["llama.rope.scaling.type", text("linear")], [
    "llama.rope.scaling.factor",
    f32(scaling.factor),
  ]];
}

/** Llama 2 and 3, SmolLM, Mistral. Rotary pairs are stored side by side. */
const llama: GgufFamily = {
  arch: "llama",
  architectures: ["LlamaForCausalLM", "MistralForCausalLM"],
  names: {
    ...attention,
    [`${layers}.self_attn.o_proj`]: "blk.{}.attn_output",
    [`${layers}.post_attention_layernorm`]: "blk.{}.ffn_norm",
    [`${layers}.mlp.gate_proj`]: "blk.{}.ffn_gate",
    [`${layers}.mlp.up_proj`]: "blk.{}.ffn_up",
    [`${layers}.mlp.down_proj`]: "blk.{}.ffn_down",
    "model.norm": "output_norm",
  },
  metadata(json, fileType) {
    const config = new ConfigReader(json);
    const { width, heads, kvHeads, headDim } = sizes(config);
    return [
      ["llama.block_count", u32(config.size("num_hidden_layers"))],
      ["llama.context_length", u32(config.size("max_position_embeddings", 2048))],
      ["llama.embedding_length", u32(width)],
      ["llama.feed_forward_length", u32(config.size("intermediate_size"))],
      ["llama.attention.head_count", u32(heads)],
      ["llama.attention.head_count_kv", u32(kvHeads)],
      ...linearScaling(config),
      ["llama.rope.freq_base", f32(config.rope().theta)],
      ["llama.attention.layer_norm_rms_epsilon", f32(config.number("rms_norm_eps", 1e-6))],
      ["llama.attention.key_length", u32(headDim)],
      ["llama.attention.value_length", u32(headDim)],
      ["general.file_type", fileType],
      ["llama.vocab_size", u32(config.size("vocab_size"))],
      ["llama.rope.dimension_count", u32(headDim)],
    ];
  },
  tokenizer(config, tokenizerConfig) {
    const prefix = tokenizerConfig.add_prefix_space;
    return {
      before: typeof prefix === "boolean"
        ? [["tokenizer.ggml.add_space_prefix", bool(prefix)]]
        : [],
      // SmolLM and Granite's small vocabularies go without BOS.
      after: config.vocab_size === 49152 ? [["tokenizer.ggml.add_bos_token", bool(false)]] : [],
    };
  },
  interleavedRows(name, json) {
    const role = /\.self_attn\.([qk])_proj\.(?:weight|bias)$/.exec(name)?.[1];
    return role === undefined ? undefined : sizes(new ConfigReader(json)).headDim;
  },
  generated: ropeFactors,
};

/** Phi-1, 1.5 and 2. The rotary base is llama.cpp's default and has no key. */
const phi2: GgufFamily = {
  arch: "phi2",
  architectures: ["PhiForCausalLM"],
  names: {
    ...attention,
    [`${layers}.self_attn.dense`]: "blk.{}.attn_output",
    [`${layers}.mlp.fc1`]: "blk.{}.ffn_up",
    [`${layers}.mlp.fc2`]: "blk.{}.ffn_down",
    "model.final_layernorm": "output_norm",
  },
  metadata(json, fileType) {
    const config = new ConfigReader(json);
    const { width, heads, kvHeads } = sizes(config);
    const { theta, partial } = config.rope();
    if (theta !== 10000 || kvHeads !== heads || config.size("intermediate_size") !== 4 * width) {
      throw new Fail("this Phi model cannot be written to GGUF", {
        why: "the format fixes its rotary base at 10000, one key head per query head and an MLP " +
          "four times as wide as the model",
        exit: Exit.data,
      });
    }
    return [
      ["phi2.context_length", u32(config.size("max_position_embeddings", 2048))],
      ["phi2.embedding_length", u32(width)],
      ["phi2.feed_forward_length", u32(4 * width)],
      ["phi2.block_count", u32(config.size("num_hidden_layers"))],
      ["phi2.attention.head_count", u32(heads)],
      ["phi2.attention.head_count_kv", u32(heads)],
      ["phi2.attention.layer_norm_epsilon", f32(config.number("layer_norm_eps", 1e-5))],
      ["phi2.rope.dimension_count", u32(Math.floor(Math.floor((partial ?? 0.5) * width) / heads))],
      ["general.file_type", fileType],
      ["tokenizer.ggml.add_bos_token", bool(false)],
    ];
  },
};

const families: readonly GgufFamily[] = [llama, phi2];

/**
 * The family of a model by "architectures" in its config.json.
 *
 * @throws Fail when none of them can be written to GGUF
 */
export function ggufFamily(config: Record<string, unknown>): GgufFamily {
  const given = Array.isArray(config.architectures) ? config.architectures : [];
  const found = families.find(({ architectures }) =>
    architectures.some((name) => given.includes(name))
  );
  if (found !== undefined) return found;
  throw new Fail(`a ${given.join(", ") || "model without architectures"} cannot be exported`, {
    why: `GGUF export knows ${families.flatMap(({ architectures }) => architectures).join(", ")}`,
    exit: Exit.data,
  });
}
