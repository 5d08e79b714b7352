import { ConfigReader } from "../architectures/config.ts";
import { Exit, Fail } from "../base/fail.ts";
import {
  f32,
  type GgufValue,
  integerAt,
  type Metadata,
  numberAt,
  u32,
} from "../formats/gguf_types.ts";
import { decoderConfig, layers, unwritable } from "./gguf_decoder.ts";
import type { GgufFamily } from "./gguf_family.ts";

const [LONG, SHORT] = ["rope_factors_long.weight", "rope_factors_short.weight"] as const;

/** Phi 3 and 4; LongRoPE's divisors travel as two tensors. */
export const phi3: GgufFamily = {
  arch: "phi3",
  architectures: ["Phi3ForCausalLM"],
  names: {
    "model.embed_tokens": "token_embd",
    [`${layers}.input_layernorm`]: "blk.{}.attn_norm",
    [`${layers}.self_attn.qkv_proj`]: "blk.{}.attn_qkv",
    [`${layers}.self_attn.o_proj`]: "blk.{}.attn_output",
    [`${layers}.post_attention_layernorm`]: "blk.{}.ffn_norm",
    [`${layers}.mlp.gate_up_proj`]: "blk.{}.ffn_up",
    [`${layers}.mlp.down_proj`]: "blk.{}.ffn_down",
    "model.norm": "output_norm",
    lm_head: "output",
  },
  metadata(json, fileType) {
    const config = new ConfigReader(json), { theta, scaling, partial } = config.rope();
    if (scaling && scaling.type !== "longrope") {
      throw unwritable("Phi 3", `llama.cpp has no ${scaling.type} rotary scaling for it`);
    }
    const key = (end: string) => `phi3.${end}`;
    const width = config.size("hidden_size"), heads = config.size("num_attention_heads");
    const context = config.size("max_position_embeddings", 4096);
    return [
      [key("context_length"), u32(context)],
      [
        key("rope.scaling.original_context_length"),
        u32(scaling?.originalContext ?? config.size("original_max_position_embeddings", context)),
      ],
      [key("embedding_length"), u32(width)],
      [key("feed_forward_length"), u32(config.size("intermediate_size"))],
      [key("block_count"), u32(config.size("num_hidden_layers"))],
      [key("attention.head_count"), u32(heads)],
      [key("attention.head_count_kv"), u32(config.size("num_key_value_heads", heads))],
      [key("attention.layer_norm_rms_epsilon"), f32(config.number("rms_norm_eps", 1e-5))],
      [key("rope.dimension_count"), u32(Math.floor((partial ?? 1) * width / heads))],
      [key("rope.freq_base"), f32(theta)],
      ["general.file_type", fileType],
      [key("attention.sliding_window"), u32(config.optional("sliding_window") ?? 0)],
      ...(scaling
        ? [[key("rope.scaling.attn_factor"), f32(scaling.attentionFactor)]] as [string, GgufValue][]
        : []),
    ];
  },
  generated(json) {
    const { scaling } = new ConfigReader(json).rope();
    if (scaling?.type !== "longrope") return [];
    return [[LONG, scaling.long] as const, [SHORT, scaling.short] as const].map((
      [name, values],
    ) => ({
      name,
      shape: [values.length],
      values: Float32Array.from(values),
    }));
  },
  config(metadata, vocabSize, generated) {
    const { rope_parameters: _, head_dim: __, ...rest } = decoderConfig(
      "phi3",
      metadata,
      vocabSize,
    );
    const headDim = Number(rest.hidden_size) / Number(rest.num_attention_heads);
    const window = integerAt(metadata, "phi3.attention.sliding_window");
    return {
      architectures: ["Phi3ForCausalLM"],
      model_type: "phi3",
      ...rest,
      sliding_window: window ? window : null,
      rope_parameters: {
        rope_theta: numberAt(metadata, "phi3.rope.freq_base") ?? 10000,
        ...stretched(metadata, generated),
        partial_rotary_factor: (integerAt(metadata, "phi3.rope.dimension_count") ?? headDim) /
          headDim,
      },
    };
  },
};

/** What rope_parameters say of stretched positions. */
function stretched(metadata: Metadata, generated: ReadonlyMap<string, Float32Array>) {
  const [long, short] = [generated.get(LONG), generated.get(SHORT)];
  if (!long && !short) return { rope_type: "default" };
  if (!long || !short) {
    throw new Fail(`the GGUF file has no ${long ? SHORT : LONG}`, {
      why: "long and short texts have divisors of their own",
      fix: "convert the model again",
      exit: Exit.data,
    });
  }
  const factor = numberAt(metadata, "phi3.rope.scaling.attn_factor");
  return {
    rope_type: "longrope",
    long_factor: [...long],
    short_factor: [...short],
    original_max_position_embeddings: integerAt(
      metadata,
      "phi3.rope.scaling.original_context_length",
    ),
    ...(factor === undefined ? {} : { attention_factor: factor }),
  };
}
