import { ConfigReader } from "../architectures/config.ts";
import { f32, numberAt, u32 } from "../formats/gguf_types.ts";
import { needed } from "./gguf_decoder.ts";
import type { GgufFamily } from "./gguf_family.ts";

const blocks = "transformer.h.{}";

/** GPT-2. Its matrices are [out, in] here as everywhere in GGUF. */
export const gpt2: GgufFamily = {
  arch: "gpt2",
  architectures: ["GPT2LMHeadModel"],
  names: {
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    [`${blocks}.ln_1`]: "blk.{}.attn_norm",
    [`${blocks}.attn.c_attn`]: "blk.{}.attn_qkv",
    [`${blocks}.attn.c_proj`]: "blk.{}.attn_output",
    [`${blocks}.ln_2`]: "blk.{}.ffn_norm",
    [`${blocks}.mlp.c_fc`]: "blk.{}.ffn_up",
    [`${blocks}.mlp.c_proj`]: "blk.{}.ffn_down",
    "transformer.ln_f": "output_norm",
    lm_head: "output",
  },
  tied: true,
  metadata(json, fileType) {
    const config = new ConfigReader(json), width = config.size("n_embd", 768);
    return [
      ["gpt2.block_count", u32(config.size("n_layer", 12))],
      ["gpt2.context_length", u32(config.size("n_positions", 1024))],
      ["gpt2.embedding_length", u32(width)],
      ["gpt2.feed_forward_length", u32(config.size("n_inner", 4 * width))],
      ["gpt2.attention.head_count", u32(config.size("n_head", 12))],
      ["gpt2.attention.layer_norm_epsilon", f32(config.number("layer_norm_epsilon", 1e-5))],
      ["general.file_type", fileType],
    ];
  },
  config(metadata, vocab_size) {
    const need = (end: string) => needed(metadata, `gpt2.${end}`);
    return {
      architectures: ["GPT2LMHeadModel"],
      model_type: "gpt2",
      vocab_size,
      n_layer: need("block_count"),
      n_positions: need("context_length"),
      n_embd: need("embedding_length"),
      n_inner: need("feed_forward_length"),
      n_head: need("attention.head_count"),
      layer_norm_epsilon: numberAt(metadata, "gpt2.attention.layer_norm_epsilon") ?? 1e-5,
    };
  },
};
