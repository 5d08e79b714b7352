// Qwen 1.5, 2 and 2.5: Llama with biases on queries, keys and values.
import { ConfigReader } from "./config.ts";
import { decoder } from "./decoder.ts";

export const qwen2 = decoder("qwen2", (json) => {
  const c = new ConfigReader(json);
  c.only("hidden_act", ["silu"], "silu");
  c.only("use_sliding_window", [false], false);
  const width = c.size("hidden_size"), heads = c.size("num_attention_heads");
  const layers = c.size("num_hidden_layers"), headDim = c.size("head_dim", width / heads);
  const { theta, scaling } = c.rope();
  return {
    vocab: c.size("vocab_size"),
    width,
    layers,
    heads,
    kvHeads: c.size("num_key_value_heads", 32),
    headDim,
    context: c.size("max_position_embeddings", 32768),
    inner: c.size("intermediate_size"),
    eps: c.number("rms_norm_eps", 1e-6),
    rope: new Array(layers).fill({ theta, scaling, rotary: headDim }),
    bias: { qkv: true, out: false, mlp: false },
    tied: c.flag("tie_word_embeddings", false),
  };
});
