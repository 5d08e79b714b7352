// Qwen 3, dense: Llama with queries and keys normalised head by head.
import { ConfigReader } from "./config.ts";
import { decoder } from "./decoder.ts";

export const qwen3 = decoder("qwen3", (json) => {
  const c = new ConfigReader(json);
  c.only("hidden_act", ["silu"], "silu");
  c.only("use_sliding_window", [false], false);
  const layers = c.size("num_hidden_layers"), headDim = c.size("head_dim", 128);
  const { theta, scaling } = c.rope(), bias = c.flag("attention_bias", false);
  return {
    vocab: c.size("vocab_size"),
    width: c.size("hidden_size"),
    layers,
    heads: c.size("num_attention_heads"),
    kvHeads: c.size("num_key_value_heads", 32),
    headDim,
    context: c.size("max_position_embeddings", 32768),
    inner: c.size("intermediate_size"),
    eps: c.number("rms_norm_eps", 1e-6),
    rope: new Array(layers).fill({ theta, scaling, rotary: headDim }),
    bias: { qkv: bias, out: bias, mlp: false },
    headNorms: true,
    tied: c.flag("tie_word_embeddings", false),
  };
});
