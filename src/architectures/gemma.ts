// Gemma 2 and 3, text: scaled embedding, norms that hold gain - 1 before and after each branch, a gate of
// GELU, layers that see a sliding window between layers that see all; Gemma 2 caps scores and logits,
// Gemma 3 normalises heads and turns positions with another base where it slides.
import { ConfigReader } from "./config.ts";
import { decoder, type DecoderConfig } from "./decoder.ts";

/** What both say in the same words. */
function common(c: ConfigReader): Omit<DecoderConfig, "rope" | "windows"> {
  c.only("hidden_activation", ["gelu_pytorch_tanh"], "gelu_pytorch_tanh");
  c.only("use_bidirectional_attention", [false, null], false);
  const bias = c.flag("attention_bias", false), width = c.size("hidden_size");
  return {
    vocab: c.size("vocab_size"),
    width,
    layers: c.size("num_hidden_layers"),
    heads: c.size("num_attention_heads"),
    kvHeads: c.size("num_key_value_heads", 4),
    headDim: c.size("head_dim", 256),
    context: c.size("max_position_embeddings", 8192),
    inner: c.size("intermediate_size"),
    eps: c.number("rms_norm_eps", 1e-6),
    bias: { qkv: bias, out: bias, mlp: false },
    tied: c.flag("tie_word_embeddings", true),
    embeddingScale: Math.sqrt(width),
    plusOne: true,
    postNorms: true,
    gate: "gelu",
    scale: 1 / Math.sqrt(c.number("query_pre_attn_scalar", 256)),
    scoreCap: c.optional("attn_logit_softcapping"),
    logitCap: c.optional("final_logit_softcapping"),
  };
}

export const gemma2 = decoder("gemma2", (json) => {
  const c = new ConfigReader(json), config = common(c), { layers, headDim } = config;
  // Absent is what the class of transformers has, null is none.
  const cap = (key: string, usual: number) => key in json ? c.optional(key) : usual;
  const window = c.size("sliding_window", 4096);
  const { theta, scaling } = c.rope();
  return {
    ...config,
    scoreCap: cap("attn_logit_softcapping", 50),
    logitCap: cap("final_logit_softcapping", 30),
    rope: new Array(layers).fill({ theta, scaling, rotary: headDim }),
    windows: c.sliding(layers, (i) => i % 2 === 0).map((slides) => slides ? window : undefined),
  };
});

export const gemma3 = decoder("gemma3_text", (json) => {
  const c = new ConfigReader(json), config = common(c), { layers, headDim: rotary } = config;
  const window = c.size("sliding_window", 4096);
  const every = c.size("_sliding_window_pattern", c.size("sliding_window_pattern", 6));
  const slides = c.sliding(layers, (i) => (i + 1) % every !== 0);
  const all = { ...c.rope({ layers: "full_attention", theta: 1e6 }), rotary };
  const local = { ...c.rope({ layers: "sliding_attention", theta: 1e4 }), rotary };
  return {
    ...config,
    context: c.size("max_position_embeddings", 131072),
    headNorms: true,
    rope: slides.map((slides) => slides ? local : all),
    windows: slides.map((slides) => slides ? window : undefined),
  };
});
