// Mistral: Llama whose layers may all see a sliding window.
import { ConfigReader } from "./config.ts";
import { decoder } from "./decoder.ts";

export const mistral = decoder("mistral", (json) => {
  const c = new ConfigReader(json);
  c.only("hidden_act", ["silu"], "silu");
  const width = c.size("hidden_size"), heads = c.size("num_attention_heads");
  const layers = c.size("num_hidden_layers"), headDim = c.size("head_dim", width / heads);
  const { theta, scaling } = c.rope();
  // Absent is what the class of transformers has, null is none.
  const window = "sliding_window" in json ? c.optional("sliding_window") : 4096;
  return {
    vocab: c.size("vocab_size"),
    width,
    layers,
    heads,
    kvHeads: c.size("num_key_value_heads", 8),
    headDim,
    context: c.size("max_position_embeddings", 131072),
    inner: c.size("intermediate_size"),
    eps: c.number("rms_norm_eps", 1e-6),
    rope: new Array(layers).fill({ theta, scaling, rotary: headDim }),
    windows: new Array(layers).fill(window),
    bias: { qkv: false, out: false, mlp: false },
    tied: c.flag("tie_word_embeddings", false),
  };
});
