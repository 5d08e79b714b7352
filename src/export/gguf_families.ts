import { ConfigReader } from "../architectures/config.ts";
import { Exit, Fail } from "../base/fail.ts";
import {
  bool,
  f32,
  integerAt,
  type Metadata,
  numberAt,
  stringAt,
  u32,
} from "../formats/gguf_types.ts";
import {
  attention,
  gated,
  layers,
  needed,
  scalingKeys,
  scalingOf,
  unwritable,
} from "./gguf_decoder.ts";
import type { GgufFamily } from "./gguf_family.ts";
import { bert, jina } from "./gguf_bert.ts";
import { gpt2 } from "./gguf_gpt2.ts";
import { gemma2, gemma3 } from "./gguf_gemma.ts";
import { phi3 } from "./gguf_phi3.ts";
import { qwen2, qwen3 } from "./gguf_qwen.ts";

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

interface Llama3Scaling {
  readonly factor: number;
  readonly lowFrequencyFactor: number;
  readonly highFrequencyFactor: number;
  readonly originalContext: number;
}

/** Wavelength of each rotary pair in tokens. */
const wavelengths = (theta: number, headDim: number): Float32Array =>
  new Float32Array(headDim / 2).map((_, i) => {
    const frequency = Math.fround(1 / Math.fround(theta ** Math.fround(2 * i / headDim)));
    return 2 * Math.PI / frequency;
  });

/**
 * Divisors of the rotary frequencies for Llama 3's long context: 1 for short wavelengths, `factor`
 * for those longer than the original context, between them an interpolation. f32[headDim / 2].
 */
function ropeFactors(theta: number, headDim: number, scaling: Llama3Scaling): Float32Array {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = scaling;
  // Every step is rounded to float32, as the converter computes it: the bytes are compared.
  const round = Math.fround;
  return wavelengths(theta, headDim).map((wavelength) => {
    if (wavelength < originalContext / high) return 1;
    if (wavelength > originalContext / low) return factor;
    const smooth = round(round(round(originalContext / wavelength) - low) / (high - low));
    return 1 / round(round(round(1 - smooth) / factor) + smooth);
  });
}

/**
 * The scaling that gives these divisors, with the frequency factors 1 and 4 that every Llama 3 has.
 * The divisors hold the original context only in those that are interpolated.
 *
 * @throws Fail when no such scaling gives exactly these values
 */
function scalingFrom(
  theta: number,
  headDim: number,
  factors: Float32Array,
): Record<string, unknown> {
  const [low, high] = [1, 4];
  const factor = factors.reduce((max, value) => Math.max(max, value), 1);
  const lengths = wavelengths(theta, headDim);
  const at = factors.findIndex((value) => value > 1 && value < factor);
  const smooth = (1 / factors[at]! - 1 / factor) / (1 - 1 / factor);
  const original = Math.round(lengths[at]! * (low + smooth * (high - low)));
  const scaling = {
    factor,
    lowFrequencyFactor: low,
    highFrequencyFactor: high,
    originalContext: original,
  };
  const same = at >= 0 &&
    ropeFactors(theta, headDim, scaling).every((value, i) => value === factors[i]);
  if (!same) {
    throw new Fail("the rotary scaling of this GGUF file is not known", {
      why: "rope_freqs.weight does not follow Llama 3's rule",
      fix: "use the model's Hugging Face folder",
      exit: Exit.data,
    });
  }
  return {
    rope_type: "llama3",
    factor,
    low_freq_factor: low,
    high_freq_factor: high,
    original_max_position_embeddings: original,
  };
}

/** Families whose rotary pairs are stored side by side. */
const pairwise = (
  arch: string,
  modelType: string,
  architectures: readonly [string, ...string[]],
  check: (config: ConfigReader) => void = () => {},
): GgufFamily => ({
  arch,
  architectures,
  names: gated,
  metadata(json, fileType) {
    const config = new ConfigReader(json);
    check(config);
    const { width, heads, kvHeads, headDim } = sizes(config);
    return [
      [`${arch}.block_count`, u32(config.size("num_hidden_layers"))],
      [`${arch}.context_length`, u32(config.size("max_position_embeddings", 2048))],
      [`${arch}.embedding_length`, u32(width)],
      [`${arch}.feed_forward_length`, u32(config.size("intermediate_size"))],
      [`${arch}.attention.head_count`, u32(heads)],
      [`${arch}.attention.head_count_kv`, u32(kvHeads)],
      ...scalingKeys(arch, config),
      [`${arch}.rope.freq_base`, f32(config.rope().theta)],
      [`${arch}.attention.layer_norm_rms_epsilon`, f32(config.number("rms_norm_eps", 1e-6))],
      [`${arch}.attention.key_length`, u32(headDim)],
      [`${arch}.attention.value_length`, u32(headDim)],
      ["general.file_type", fileType],
      [`${arch}.vocab_size`, u32(config.size("vocab_size"))],
      [`${arch}.rope.dimension_count`, u32(headDim)],
    ];
  },
  tokenizer(config, tokenizer) {
    const prefix = tokenizer.config.add_prefix_space;
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
  generated(json) {
    const config = new ConfigReader(json);
    const { theta, scaling } = config.rope();
    if (scaling?.type !== "llama3") return [];
    const values = ropeFactors(theta, sizes(config).headDim, scaling);
    return [{ name: "rope_freqs.weight", shape: [values.length], values }];
  },
  config(metadata, vocab_size, generated) {
    const need = (end: string) => needed(metadata, `${arch}.${end}`);
    const [width, heads] = [need("embedding_length"), need("attention.head_count")];
    const head_dim = integerAt(metadata, `${arch}.attention.key_length`) ?? width / heads;
    const rope_theta = numberAt(metadata, `${arch}.rope.freq_base`) ?? 10000;
    const factors = generated.get("rope_freqs.weight");
    return {
      architectures: [architectures[0]],
      model_type: modelType,
      vocab_size,
      hidden_size: width,
      intermediate_size: need("feed_forward_length"),
      num_hidden_layers: need("block_count"),
      num_attention_heads: heads,
      num_key_value_heads: integerAt(metadata, `${arch}.attention.head_count_kv`) ?? heads,
      head_dim,
      max_position_embeddings: need("context_length"),
      rms_norm_eps: numberAt(metadata, `${arch}.attention.layer_norm_rms_epsilon`) ?? 1e-6,
      rope_parameters: {
        rope_theta,
        ...scalingOf(arch, metadata),
        ...(factors === undefined ? {} : scalingFrom(rope_theta, head_dim, factors)),
      },
    };
  },
});

/** Llama 2 and 3, SmolLM 1 and 2, Mistral. */
const llama = pairwise("llama", "llama", ["LlamaForCausalLM", "MistralForCausalLM"]);

const smollm3 = pairwise("smollm3", "smollm3", ["SmolLM3ForCausalLM"], ({ json }) => {
  const turns = json.no_rope_layers;
  if (!Array.isArray(turns) || turns.every((turn, i) => turn === ((i + 1) % 4 === 0 ? 0 : 1))) {
    return;
  }
  throw unwritable("SmolLM 3", "llama.cpp turns positions in all but every fourth layer");
});

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
  config(metadata, vocab_size) {
    const need = (end: string) => needed(metadata, `phi2.${end}`);
    const [width, heads] = [need("embedding_length"), need("attention.head_count")];
    return {
      architectures: ["PhiForCausalLM"],
      model_type: "phi",
      vocab_size,
      hidden_size: width,
      intermediate_size: need("feed_forward_length"),
      num_hidden_layers: need("block_count"),
      num_attention_heads: heads,
      max_position_embeddings: need("context_length"),
      layer_norm_eps: numberAt(metadata, "phi2.attention.layer_norm_epsilon") ?? 1e-5,
      hidden_act: "gelu_new",
      partial_rotary_factor: need("rope.dimension_count") * heads / width,
    };
  },
};

const families: readonly GgufFamily[] = [
  llama,
  phi2,
  qwen2,
  qwen3,
  gemma2,
  gemma3,
  phi3,
  smollm3,
  gpt2,
  jina,
  bert,
];

/**
 * The family of a model by "architectures" in its config.json.
 *
 * @throws Fail when none of them can be written to GGUF
 */
export function ggufFamily(config: Record<string, unknown>): GgufFamily {
  const given = Array.isArray(config.architectures) ? config.architectures : [];
  const found = families.find(({ architectures, owns }) =>
    architectures.some((name) => given.includes(name)) && (owns?.(config) ?? true)
  );
  if (found !== undefined) return found;
  throw new Fail(`a ${given.join(", ") || "model without architectures"} cannot be exported`, {
    why: `GGUF export knows ${families.flatMap(({ architectures }) => architectures).join(", ")}`,
    exit: Exit.data,
  });
}

/**
 * The family of a GGUF file by its general.architecture.
 *
 * @throws Fail when whet cannot read it
 */
export function ggufFamilyOf(metadata: Metadata): GgufFamily {
  const arch = stringAt(metadata, "general.architecture");
  const found = families.find((family) => family.arch === arch);
  if (found !== undefined) return found;
  throw new Fail(`a GGUF file of ${arch ?? "unknown architecture"} cannot be read`, {
    why: `whet reads ${families.map((family) => family.arch).join(", ")}`,
    exit: Exit.data,
  });
}
