// BERT, MiniLM, BGE, E5 and RoBERTa's kind: encoders with learnt positions and a LayerNorm after each
// branch, biases everywhere, GELU. Every token sees the whole sequence; there is no head, and the pooler
// that some checkpoints carry is not used.
import { add } from "../../kernels/add/add.ts";
import { embed } from "../../kernels/embedding/embedding.ts";
import { gelu } from "../../kernels/gelu/gelu.ts";
import { geluNew } from "../../kernels/gelu_new/gelu_new.ts";
import { layernorm } from "../../kernels/layernorm/layernorm.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Stream } from "../nn/attention.ts";
import { inChunks } from "../nn/chunks.ts";
import { linear } from "../nn/linear.ts";
import type { Net } from "../nn/net.ts";
import type { Architecture, Sizes } from "./architecture.ts";
import { ConfigReader } from "./config.ts";

export interface BertConfig extends Sizes {
  readonly inner: number;
  readonly eps: number;
  /** Rows of the token type table; only the first is used. */
  readonly types: number;
  readonly tanh: boolean;
}

const BODY = /^(bert|roberta|xlm_roberta)\./;

/** @param offset positions begin after the padding id: as fairseq counted them */
function family(modelType: string, offset: boolean): Architecture<BertConfig> {
  return {
    modelType,
    linears: ["query", "key", "value", "dense"],
    defaultTargets: ["query", "value"],
    bidirectional: true,
    checkpoint: {
      rename: (name) =>
        name.replace(BODY, "")
          .replace(/LayerNorm\.gamma$/, "LayerNorm.weight")
          .replace(/LayerNorm\.beta$/, "LayerNorm.bias"),
      unused: /^(pooler\.|cls\.|lm_head\.|classifier\.)|^embeddings\.(position|token_type)_ids$/,
    },

    config(json) {
      const c = new ConfigReader(json);
      c.only("hidden_act", ["gelu", "gelu_new", "gelu_pytorch_tanh"], "gelu");
      c.only("position_embedding_type", ["absolute"], "absolute");
      c.only("is_decoder", [false], false);
      c.only("add_cross_attention", [false], false);
      const width = c.size("hidden_size"), heads = c.size("num_attention_heads");
      const firstPosition = offset ? c.number("pad_token_id", 1) + 1 : 0;
      return {
        vocab: c.size("vocab_size"),
        width,
        layers: c.size("num_hidden_layers"),
        heads,
        kvHeads: heads,
        headDim: width / heads,
        context: c.size("max_position_embeddings") - firstPosition,
        firstPosition,
        inner: c.size("intermediate_size"),
        eps: c.number("layer_norm_eps", 1e-12),
        types: c.size("type_vocab_size", 2),
        tanh: json.hidden_act !== undefined && json.hidden_act !== "gelu",
      };
    },
    sizes: (config) => config,

    hidden(net, c, stream) {
      let x: Tensor | undefined;
      for (let i = 0; i < c.layers; i++) {
        const given = x; // the first block embeds, so that nothing must be held for it
        x = net.g.block("", () => {
          const from = given ?? embeddings(net, c, stream);
          return net.g.scope(`encoder.layer.${i}`, () => layer(net, c, stream, from));
        });
      }
      return x!;
    },
  };
}

export const bert: Architecture<BertConfig> = family("bert", false);
export const roberta: Architecture<BertConfig> = family("roberta", true);
export const xlmRoberta: Architecture<BertConfig> = family("xlm-roberta", true);

/** Words, positions and the first token type, normed. */
function embeddings(net: Net, c: BertConfig, { ids, positions, ...stream }: Stream): Tensor {
  const { g } = net, T = ids.shape[0]!;
  return g.scope("embeddings", () => {
    const table = (name: string, rows: number) => net.weight(`${name}.weight`, [rows, c.width]);
    const words = embed(g, table("word_embeddings", c.vocab), ids, stream.sorted);
    const rows = c.context + (c.firstPosition ?? 0);
    const places = embed(
      g,
      table("position_embeddings", rows),
      positions,
      stream.sortedPositions,
    );
    const types = firstTypes(net, table("token_type_embeddings", c.types), T);
    const sum = g.add(add, [g.add(add, [words, types], null)[0]!, places], null)[0]!;
    return norm(net, c, sum);
  });
}

/** The first row of a table of token types for each of T tokens. */
export function firstTypes(net: Net, table: Tensor, T: number): Tensor {
  const none = net.g.constant("types", [T], new Uint32Array(T));
  return embed(net.g, table, none, net.full ? sortedTypes(net, T, table.shape[0]!) : undefined);
}

/** Every token is of the first type. */
function sortedTypes({ g }: Net, T: number, types: number) {
  const bounds = new Uint32Array(types + 1).fill(T);
  bounds[0] = 0;
  return {
    order: g.constant("types_order", [T], Uint32Array.from({ length: T }, (_, t) => t)),
    bounds: g.constant("types_bounds", [types + 1], bounds),
  };
}

function norm(net: Net, c: BertConfig, x: Tensor): Tensor {
  const { g } = net;
  return g.scope("LayerNorm", () => {
    const weight = net.weight("weight", [c.width]), bias = net.weight("bias", [c.width]);
    return layernorm(g, x, weight, bias, c.eps); // f32: it is the residual stream
  });
}

function layer(net: Net, c: BertConfig, stream: Stream, x: Tensor): Tensor {
  const { g } = net, { width, heads, kvHeads, headDim } = c, bias = true;
  const mixed = g.scope("attention.self", () => {
    const out = headDim % 4 === 0 ? net.compute : "f32";
    const q = linear(net, "query", x, width, { bias, out });
    const k = linear(net, "key", x, width, { bias, out });
    const v = linear(net, "value", x, width, { bias, out });
    return stream.attend(q, k, v, { heads, kvHeads, scale: 1 / Math.sqrt(headDim) });
  });
  const middle = g.scope("attention.output", () => {
    const back = linear(net, "dense", mixed, width, { bias, out: "f32" });
    return norm(net, c, g.add(add, [back, x], null)[0]!);
  });
  return inChunks(net, middle, c.inner, (part) => {
    const wide = g.scope("intermediate", () => linear(net, "dense", part, c.inner, { bias }));
    return g.scope("output", () => {
      const activated = c.tanh ? geluNew(g, wide) : gelu(g, wide);
      const back = linear(net, "dense", activated, width, { bias, out: "f32" });
      return norm(net, c, g.add(add, [back, part], null)[0]!);
    });
  });
}
