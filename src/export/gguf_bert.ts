import { ConfigReader } from "../architectures/config.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { tokenContent } from "../text/tokenizer_json.ts";
import { bool, f32, type GgufValue, integerAt, numberAt, u32 } from "../formats/gguf_types.ts";
import { needed } from "./gguf_decoder.ts";
import type { GgufFamily } from "./gguf_family.ts";

const blocks = "encoder.layer.{}";

/**
 * BERT's kind: MiniLM, BGE, E5, RoBERTa, XLM-RoBERTa. RoBERTa's first positions, up to that of its padding id,
 * are never looked up and left out; so the file says nothing of them, and what is read back is a BERT.
 */
export const bert: GgufFamily = {
  arch: "bert",
  architectures: ["Bert", "Roberta", "XLMRoberta"].flatMap((name) => [
    `${name}Model`,
    `${name}ForMaskedLM`,
  ]),
  names: {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    [`${blocks}.attention.self.query`]: "blk.{}.attn_q",
    [`${blocks}.attention.self.key`]: "blk.{}.attn_k",
    [`${blocks}.attention.self.value`]: "blk.{}.attn_v",
    [`${blocks}.attention.output.dense`]: "blk.{}.attn_output",
    [`${blocks}.attention.output.LayerNorm`]: "blk.{}.attn_output_norm",
    [`${blocks}.intermediate.dense`]: "blk.{}.ffn_up",
    [`${blocks}.output.dense`]: "blk.{}.ffn_down",
    [`${blocks}.output.LayerNorm`]: "blk.{}.layer_output_norm",
  },
  metadata(json, fileType) {
    const config = new ConfigReader(json);
    const context = config.size("max_position_embeddings", 512) - positionsBefore(json);
    return [
      ["bert.block_count", u32(config.size("num_hidden_layers"))],
      ["bert.context_length", u32(context)],
      ["bert.embedding_length", u32(config.size("hidden_size"))],
      ["bert.feed_forward_length", u32(config.size("intermediate_size"))],
      ["bert.attention.head_count", u32(config.size("num_attention_heads"))],
      ["bert.attention.layer_norm_epsilon", f32(config.number("layer_norm_eps", 1e-12))],
      ["general.file_type", fileType],
      ["bert.attention.causal", bool(false)],
    ];
  },
  tokenizer: (json, tokenizer) => ({
    before: [[
      "tokenizer.ggml.token_type_count",
      u32(new ConfigReader(json).size("type_vocab_size", 2)),
    ]],
    after: specials(tokenizer),
  }),
  rowsBefore: (name, json) =>
    name === "embeddings.position_embeddings.weight" ? positionsBefore(json) : 0,
  config(metadata, vocab_size) {
    const need = (end: string) => needed(metadata, `bert.${end}`);
    return {
      architectures: ["BertModel"],
      model_type: "bert",
      vocab_size,
      num_hidden_layers: need("block_count"),
      max_position_embeddings: need("context_length"),
      hidden_size: need("embedding_length"),
      intermediate_size: need("feed_forward_length"),
      num_attention_heads: need("attention.head_count"),
      layer_norm_eps: numberAt(metadata, "bert.attention.layer_norm_epsilon") ?? 1e-12,
      type_vocab_size: integerAt(metadata, "tokenizer.ggml.token_type_count", { min: 1 }) ?? 2,
      hidden_act: "gelu",
    };
  },
};

const layers = "encoder.layers.{}";

/** jina-embeddings-v3, with the adapter of a task merged in or none. */
export const jina: GgufFamily = {
  ...bert,
  arch: "jina-bert-v3",
  architectures: ["XLMRobertaModel", "XLMRobertaLoRA"],
  owns: (json) => json.lora_adaptations !== undefined || json.position_embedding_type === "rotary",
  names: {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.token_type_embeddings": "token_types",
    emb_ln: "token_embd_norm",
    [`${layers}.mixer.Wqkv`]: "blk.{}.attn_qkv",
    [`${layers}.mixer.out_proj`]: "blk.{}.attn_output",
    [`${layers}.norm1`]: "blk.{}.attn_output_norm",
    [`${layers}.mlp.fc1`]: "blk.{}.ffn_up",
    [`${layers}.mlp.fc2`]: "blk.{}.ffn_down",
    [`${layers}.norm2`]: "blk.{}.layer_output_norm",
  },
  metadata(json, fileType) {
    const config = new ConfigReader(json);
    const keys = bert.metadata(json, fileType).map(([key, value]): [string, GgufValue] => [
      key.replace(/^bert\./, "jina-bert-v3."),
      value,
    ]);
    return [["jina-bert-v3.rope.freq_base", f32(config.number("rotary_emb_base", 10000))], ...keys];
  },
  config(metadata, vocab_size) {
    const need = (end: string) => needed(metadata, `jina-bert-v3.${end}`);
    return {
      architectures: ["XLMRobertaModel"],
      model_type: "xlm-roberta",
      position_embedding_type: "rotary",
      rotary_emb_base: numberAt(metadata, "jina-bert-v3.rope.freq_base") ?? 10000,
      vocab_size,
      num_hidden_layers: need("block_count"),
      max_position_embeddings: need("context_length") + 2,
      pad_token_id: 1,
      hidden_size: need("embedding_length"),
      intermediate_size: need("feed_forward_length"),
      num_attention_heads: need("attention.head_count"),
      layer_norm_eps: numberAt(metadata, "jina-bert-v3.attention.layer_norm_epsilon") ?? 1e-5,
      type_vocab_size: integerAt(metadata, "tokenizer.ggml.token_type_count", { min: 1 }) ?? 1,
      hidden_act: "gelu",
    };
  },
};

/**
 * Ids of the tokens that stand around a text. llama.cpp has those of bert-base where a file says nothing, and
 * its converter says nothing where tokenizer.json does not list them apart.
 */
export function specials({ config, idOf }: Tokenizer): [string, GgufValue][] {
  const kinds = {
    bos: config.bos_token ?? config.cls_token,
    eos: config.eos_token ?? config.sep_token,
    unknown: config.unk_token,
    seperator: config.sep_token,
    padding: config.pad_token,
    mask: config.mask_token,
  };
  return Object.entries(kinds).flatMap(([kind, token]): [string, GgufValue][] => {
    const id = idOf(tokenContent(token) ?? "");
    return id === undefined ? [] : [[`tokenizer.ggml.${kind}_token_id`, u32(id)]];
  });
}

/** Positions that RoBERTa's kind never uses: those up to its padding id. */
function positionsBefore(json: Record<string, unknown>): number {
  return json.model_type === "bert" ? 0 : new ConfigReader(json).number("pad_token_id", 1) + 1;
}
