/** What the GGUF families of decoders have in common: names, sizes, and the keys that most of them write. */
import { ConfigReader } from "../architectures/config.ts";
import { Exit, Fail } from "../base/fail.ts";
import {
  f32,
  type GgufValue,
  integerAt,
  type Metadata,
  numberAt,
  stringAt,
  text,
  u32,
} from "../formats/gguf_types.ts";

export const layers = "model.layers.{}";

/** Embedding, attention but for the projection back, and head. */
export const attention = {
  "model.embed_tokens": "token_embd",
  [`${layers}.input_layernorm`]: "blk.{}.attn_norm",
  [`${layers}.self_attn.q_proj`]: "blk.{}.attn_q",
  [`${layers}.self_attn.k_proj`]: "blk.{}.attn_k",
  [`${layers}.self_attn.v_proj`]: "blk.{}.attn_v",
  lm_head: "output",
};

/** The same with a gated feed-forward layer behind a norm. */
export const gated = {
  ...attention,
  [`${layers}.self_attn.o_proj`]: "blk.{}.attn_output",
  [`${layers}.post_attention_layernorm`]: "blk.{}.ffn_norm",
  [`${layers}.mlp.gate_proj`]: "blk.{}.ffn_gate",
  [`${layers}.mlp.up_proj`]: "blk.{}.ffn_up",
  [`${layers}.mlp.down_proj`]: "blk.{}.ffn_down",
  "model.norm": "output_norm",
};

/** Norms of queries and keys, head by head. */
export const headNorms = {
  [`${layers}.self_attn.q_norm`]: "blk.{}.attn_q_norm",
  [`${layers}.self_attn.k_norm`]: "blk.{}.attn_k_norm",
};

/** A size that the file must have. */
export function needed(metadata: Metadata, key: string): number {
  const value = integerAt(metadata, key, { min: 1, max: 2 ** 24 });
  if (value !== undefined) return value;
  throw new Fail(`the GGUF file has no ${key}`, { exit: Exit.data });
}

/** What a config says that GGUF, or llama.cpp reading it, has no place for. */
export const unwritable = (model: string, why: string): Fail =>
  new Fail(`this ${model} model cannot be written to GGUF`, {
    why,
    fix: "export it with --merge: a folder for transformers",
    exit: Exit.data,
  });

/** Keys of a rotary scaling; Llama 3's travels as a tensor and has none. */
export function scalingKeys(arch: string, config: ConfigReader): [string, GgufValue][] {
  const { scaling } = config.rope({ layers: "full_attention" });
  const key = (end: string) => `${arch}.rope.scaling.${end}`;
  switch (scaling?.type) {
    case undefined:
    case "llama3":
      return [];
    case "linear":
      return [[key("type"), text("linear")], [key("factor"), f32(scaling.factor)]];
    case "yarn":
      return [
        [key("type"), text("yarn")],
        [key("factor"), f32(scaling.factor)],
        [key("original_context_length"), u32(scaling.originalContext)],
      ];
    default:
      throw unwritable(arch, `GGUF has no keys for ${scaling!.type} rotary scaling`);
  }
}

/** The way back: what rope_parameters say beside the base. */
export function scalingOf(arch: string, metadata: Metadata): Record<string, unknown> {
  const key = (end: string) => `${arch}.rope.scaling.${end}`;
  const type = stringAt(metadata, key("type"));
  if (type === undefined || type === "none") return { rope_type: "default" };
  const original = integerAt(metadata, key("original_context_length"));
  return {
    rope_type: type,
    factor: numberAt(metadata, key("factor")),
    ...(original === undefined ? {} : { original_max_position_embeddings: original }),
  };
}

export interface Defaults {
  /** What the class in transformers has where config.json is silent. */
  readonly context: number;
  readonly kvHeads?: number;
  readonly headDim?: number;
  readonly theta?: number;
  /** Keys between the rotary base and the norms' eps. */
  readonly bases?: readonly [string, GgufValue][];
}

/** The keys that llama.cpp's converter writes for most decoders, in its order. */
export function decoderKeys(
  arch: string,
  config: ConfigReader,
  fileType: GgufValue,
  { context, kvHeads, headDim, theta, bases = [] }: Defaults,
): [string, GgufValue][] {
  const heads = config.size("num_attention_heads");
  const key = (end: string) => `${arch}.${end}`;
  // Families without a head_dim of their own get no key for it.
  const dim = headDim === undefined && config.json.head_dim === undefined
    ? undefined
    : u32(config.size("head_dim", headDim));
  return [
    [key("block_count"), u32(config.size("num_hidden_layers"))],
    [key("context_length"), u32(config.size("max_position_embeddings", context))],
    [key("embedding_length"), u32(config.size("hidden_size"))],
    [key("feed_forward_length"), u32(config.size("intermediate_size"))],
    [key("attention.head_count"), u32(heads)],
    [key("attention.head_count_kv"), u32(config.size("num_key_value_heads", kvHeads ?? heads))],
    ...scalingKeys(arch, config),
    [key("rope.freq_base"), f32(config.rope({ layers: "full_attention", theta }).theta)],
    ...bases,
    [key("attention.layer_norm_rms_epsilon"), f32(config.number("rms_norm_eps", 1e-6))],
    ...(dim
      ? [[key("attention.key_length"), dim], [key("attention.value_length"), dim]] as [
        string,
        GgufValue,
      ][]
      : []),
    ["general.file_type", fileType],
  ];
}

/** The way back for the same keys. */
export function decoderConfig(
  arch: string,
  metadata: Metadata,
  vocabSize: number,
): Record<string, unknown> {
  const need = (end: string) => needed(metadata, `${arch}.${end}`);
  const [width, heads] = [need("embedding_length"), need("attention.head_count")];
  return {
    vocab_size: vocabSize,
    hidden_size: width,
    intermediate_size: need("feed_forward_length"),
    num_hidden_layers: need("block_count"),
    num_attention_heads: heads,
    num_key_value_heads: integerAt(metadata, `${arch}.attention.head_count_kv`) ?? heads,
    head_dim: integerAt(metadata, `${arch}.attention.key_length`) ?? width / heads,
    max_position_embeddings: need("context_length"),
    rms_norm_eps: numberAt(metadata, `${arch}.attention.layer_norm_rms_epsilon`) ?? 1e-6,
    rope_parameters: {
      rope_theta: numberAt(metadata, `${arch}.rope.freq_base`) ?? 10000,
      ...scalingOf(arch, metadata),
    },
  };
}
