// Llama 2/3.x, SmolLM 1/2 and everything shaped like them: no biases unless config.json asks.
import { ConfigReader } from "./config.ts";
import { decoder } from "./decoder.ts";

export const llama = decoder("llama", (json) => {
  const c = new ConfigReader(json);
  c.only("hidden_act", ["silu"], "silu");
  const width = c.size("hidden_size"), heads = c.size("num_attention_heads");
  const layers = c.size("num_hidden_layers"), headDim = c.size("head_dim", width / heads);
  const { theta, scaling } = c.rope(), bias = c.flag("attention_bias", false);
  return {
    vocab: c.size("vocab_size"),
    width,
    layers,
    heads,
    kvHeads: c.size("num_key_value_heads", heads),
    headDim,
    context: c.size("max_position_embeddings", 2048),
    inner: c.size("intermediate_size"),
    eps: c.number("rms_norm_eps", 1e-6),
    rope: new Array(layers).fill({ theta, scaling, rotary: headDim }),
    bias: { qkv: bias, out: bias, mlp: c.flag("mlp_bias", false) },
    tied: c.flag("tie_word_embeddings", false),
  };
});
