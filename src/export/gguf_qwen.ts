import { ConfigReader } from "../architectures/config.ts";
import type { GgufFamily } from "./gguf_family.ts";
import { decoderConfig, decoderKeys, gated, headNorms } from "./gguf_decoder.ts";

/** Qwen 1.5, 2 and 2.5. */
export const qwen2: GgufFamily = {
  arch: "qwen2",
  architectures: ["Qwen2ForCausalLM"],
  names: gated,
  metadata: (json, fileType) =>
    decoderKeys("qwen2", new ConfigReader(json), fileType, { context: 32768, kvHeads: 32 }),
  config: (metadata, vocabSize) => ({
    architectures: ["Qwen2ForCausalLM"],
    model_type: "qwen2",
    ...decoderConfig("qwen2", metadata, vocabSize),
  }),
};

/** Qwen 3, dense. */
export const qwen3: GgufFamily = {
  arch: "qwen3",
  architectures: ["Qwen3ForCausalLM"],
  names: { ...gated, ...headNorms },
  metadata: (json, fileType) =>
    decoderKeys("qwen3", new ConfigReader(json), fileType, {
      context: 32768,
      kvHeads: 32,
      headDim: 128,
    }),
  config: (metadata, vocabSize) => ({
    architectures: ["Qwen3ForCausalLM"],
    model_type: "qwen3",
    ...decoderConfig("qwen3", metadata, vocabSize),
  }),
};
