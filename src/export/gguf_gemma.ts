import { ConfigReader } from "../architectures/config.ts";
import { bool, f32, type GgufValue, type Metadata, numberAt, u32 } from "../formats/gguf_types.ts";
import type { GgufFamily } from "./gguf_family.ts";
import {
  decoderConfig,
  decoderKeys,
  gated,
  headNorms,
  layers,
  needed,
  unwritable,
} from "./gguf_decoder.ts";

const { lm_head: _, ...untied } = gated;

/** The head is the embedding, even where a file holds it once more. */
const names = {
  ...untied,
  [`${layers}.post_attention_layernorm`]: "blk.{}.post_attention_norm",
  [`${layers}.pre_feedforward_layernorm`]: "blk.{}.ffn_norm",
  [`${layers}.post_feedforward_layernorm`]: "blk.{}.post_ffw_norm",
};

/** Checkpoints hold gain - 1, GGUF the gain. */
const shift = (name: string): number | undefined => name.endsWith("norm.weight") ? 1 : undefined;

const tokenizer = () => ({
  after: [["tokenizer.ggml.add_space_prefix", bool(false)] as [string, GgufValue]],
});

/** What llama.cpp takes for granted and no key can say otherwise. */
function checkFixed(
  model: string,
  config: ConfigReader,
  { largest, slides }: { largest: number; slides: (layer: number) => boolean },
): void {
  const count = config.size("num_hidden_layers");
  const width = config.size("hidden_size"), heads = config.size("num_attention_heads");
  const usual = count === largest ? width / heads : config.size("head_dim", 256);
  const found = config.number("query_pre_attn_scalar", 256);
  if (found !== usual) {
    throw unwritable(model, `query_pre_attn_scalar is ${found}, llama.cpp computes with ${usual}`);
  }
  const pattern = config.sliding(count, slides);
  if (!pattern.every((is, i) => is === slides(i))) {
    throw unwritable(model, "llama.cpp has other layers slide than layer_types says");
  }
}

const evenSlide = (layer: number) => layer % 2 === 0;
const fiveOfSixSlide = (layer: number) => (layer + 1) % 6 !== 0;

/** The scale of scores as llama.cpp knows it. */
function scalar(arch: string, metadata: Metadata, largest: number): number {
  const need = (end: string) => needed(metadata, `${arch}.${end}`);
  return need("block_count") === largest
    ? need("embedding_length") / need("attention.head_count")
    : need("attention.key_length");
}

export const gemma2: GgufFamily = {
  arch: "gemma2",
  architectures: ["Gemma2ForCausalLM"],
  names,
  dropped: ["lm_head"],
  tied: true,
  shift,
  tokenizer,
  metadata(json, fileType) {
    const config = new ConfigReader(json);
    checkFixed("Gemma 2", config, { largest: 46, slides: evenSlide });
    const { theta, scaling } = config.rope();
    if (theta !== 10000 || scaling) {
      throw unwritable("Gemma 2", "llama.cpp has its rotary base at 10000 and no scaling");
    }
    const key = (end: string) => `gemma2.${end}`;
    const headDim = u32(config.size("head_dim", 256));
    const cap = (name: string, usual: number): [string, GgufValue][] => {
      const value = name in json ? config.optional(name) : usual;
      if (value) return [[key(name), f32(value)]];
      throw unwritable("Gemma 2", `llama.cpp computes with a cap where ${name} is none`);
    };
    return [
      [key("context_length"), u32(config.size("max_position_embeddings", 8192))],
      [key("embedding_length"), u32(config.size("hidden_size"))],
      [key("block_count"), u32(config.size("num_hidden_layers"))],
      [key("feed_forward_length"), u32(config.size("intermediate_size"))],
      [key("attention.head_count"), u32(config.size("num_attention_heads"))],
      [key("attention.head_count_kv"), u32(config.size("num_key_value_heads", 4))],
      [key("attention.layer_norm_rms_epsilon"), f32(config.number("rms_norm_eps", 1e-6))],
      [key("attention.key_length"), headDim],
      [key("attention.value_length"), headDim],
      ["general.file_type", fileType],
      ...cap("attn_logit_softcapping", 50),
      ...cap("final_logit_softcapping", 30),
      [key("attention.sliding_window"), u32(config.size("sliding_window", 4096))],
    ];
  },
  config: (metadata, vocabSize) => ({
    architectures: ["Gemma2ForCausalLM"],
    model_type: "gemma2",
    ...decoderConfig("gemma2", metadata, vocabSize),
    query_pre_attn_scalar: scalar("gemma2", metadata, 46),
    attn_logit_softcapping: numberAt(metadata, "gemma2.attn_logit_softcapping") ?? 50,
    final_logit_softcapping: numberAt(metadata, "gemma2.final_logit_softcapping") ?? 30,
    sliding_window: needed(metadata, "gemma2.attention.sliding_window"),
  }),
};

export const gemma3: GgufFamily = {
  arch: "gemma3",
  architectures: ["Gemma3ForCausalLM"],
  names: { ...names, ...headNorms },
  dropped: ["lm_head"],
  tied: true,
  shift,
  tokenizer,
  metadata(json, fileType) {
    const config = new ConfigReader(json);
    checkFixed("Gemma 3", config, { largest: 62, slides: fiveOfSixSlide });
    if (config.optional("attn_logit_softcapping")) {
      throw unwritable("Gemma 3", "llama.cpp computes without a cap on its scores");
    }
    const cap = config.optional("final_logit_softcapping");
    const local = config.rope({ layers: "sliding_attention" });
    return [
      ...decoderKeys("gemma3", config, fileType, {
        context: 131072,
        kvHeads: 4,
        headDim: 256,
        theta: 1e6,
        bases: [["gemma3.rope.freq_base_swa", f32(local.theta)]],
      }),
      ...(cap ? [["gemma3.final_logit_softcapping", f32(cap)] as [string, GgufValue]] : []),
      ["gemma3.attention.sliding_window", u32(config.size("sliding_window", 4096))],
    ];
  },
  config(metadata, vocabSize) {
    const { rope_parameters, ...rest } = decoderConfig("gemma3", metadata, vocabSize);
    const local = numberAt(metadata, "gemma3.rope.freq_base_swa") ?? 10000;
    return {
      architectures: ["Gemma3ForCausalLM"],
      model_type: "gemma3_text",
      ...rest,
      query_pre_attn_scalar: scalar("gemma3", metadata, 62),
      final_logit_softcapping: numberAt(metadata, "gemma3.final_logit_softcapping") ?? null,
      sliding_window: needed(metadata, "gemma3.attention.sliding_window"),
      rope_parameters: {
        full_attention: rope_parameters,
        sliding_attention: { rope_theta: local, rope_type: "default" },
      },
    };
  },
};
