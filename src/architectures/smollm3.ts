// SmolLM 3: Llama in which some layers do not turn positions (NoPE, Yang et al. 2025).
import { Exit, Fail } from "../base/fail.ts";
import { ConfigReader } from "./config.ts";
import { decoder } from "./decoder.ts";

export const smollm3 = decoder("smollm3", (json) => {
  const c = new ConfigReader(json);
  c.only("hidden_act", ["silu"], "silu");
  c.only("use_sliding_window", [false], false);
  const width = c.size("hidden_size"), heads = c.size("num_attention_heads");
  const layers = c.size("num_hidden_layers"), headDim = c.size("head_dim", width / heads);
  const { theta, scaling } = c.rope({ theta: 2e6 }), bias = c.flag("attention_bias", false);
  const every = c.size("no_rope_layer_interval", 4);
  // In spite of its name: 1 where a layer turns positions.
  const turns = json.no_rope_layers ??
    Array.from({ length: layers }, (_, i) => +((i + 1) % every > 0));
  if (!Array.isArray(turns) || turns.length !== layers || !turns.every((t) => t === 0 || t === 1)) {
    throw new Fail(`config.json: no_rope_layers must be ${layers} times 0 or 1`, {
      fix: "check that this is the config.json of a Hugging Face model folder",
      exit: Exit.data,
    });
  }
  return {
    vocab: c.size("vocab_size"),
    width,
    layers,
    heads,
    kvHeads: c.size("num_key_value_heads", 4),
    headDim,
    context: c.size("max_position_embeddings", 32768),
    inner: c.size("intermediate_size"),
    eps: c.number("rms_norm_eps", 1e-6),
    rope: turns.map((turns) => turns === 1 ? { theta, scaling, rotary: headDim } : undefined),
    bias: { qkv: bias, out: bias, mlp: c.flag("mlp_bias", false) },
    tied: c.flag("tie_word_embeddings", true),
  };
});
