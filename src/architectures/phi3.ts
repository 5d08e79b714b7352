// Phi 3 and 4: one projection for queries, keys and values, one for gate and up; LongRoPE in the long ones.
import { ConfigReader } from "./config.ts";
import { decoder } from "./decoder.ts";

export const phi3 = decoder("phi3", (json) => {
  const c = new ConfigReader(json);
  c.only("hidden_act", ["silu"], "silu");
  c.only("attention_bias", [false], false);
  const width = c.size("hidden_size"), heads = c.size("num_attention_heads");
  const layers = c.size("num_hidden_layers"), headDim = c.size("head_dim", width / heads);
  const { theta, scaling, partial } = c.rope();
  const rotary = Math.floor(headDim * (partial ?? 1));
  return {
    vocab: c.size("vocab_size"),
    width,
    layers,
    heads,
    kvHeads: c.size("num_key_value_heads", heads),
    headDim,
    context: c.size("max_position_embeddings", 4096),
    inner: c.size("intermediate_size"),
    eps: c.number("rms_norm_eps", 1e-5),
    rope: new Array(layers).fill({ theta, scaling, rotary }),
    windows: new Array(layers).fill(c.optional("sliding_window")),
    bias: { qkv: false, out: false, mlp: false },
    fused: true,
    tied: c.flag("tie_word_embeddings", false),
  };
}, {
  linears: ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
  defaultTargets: ["qkv_proj"],
});
