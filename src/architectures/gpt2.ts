// GPT-2 (Radford et al. 2019): learnt positions, LayerNorm before each branch, one projection for queries,
// keys and values, biases everywhere, gelu_new, the embedding as head. Its linear layers are stored
// [in, out].
import { add } from "../../kernels/add/add.ts";
import { embed } from "../../kernels/embedding/embedding.ts";
import { geluNew } from "../../kernels/gelu_new/gelu_new.ts";
import { layernorm } from "../../kernels/layernorm/layernorm.ts";
import { thousands } from "../base/text.ts";
import type { Tensor } from "../graph/tensor.ts";
import { selfAttention, type Stream } from "../nn/attention.ts";
import { inChunks } from "../nn/chunks.ts";
import { embedded } from "../nn/embedding.ts";
import { linear } from "../nn/linear.ts";
import type { Net } from "../nn/net.ts";
import type { Architecture, Sizes } from "./architecture.ts";
import { ConfigReader } from "./config.ts";

export interface Gpt2Config extends Sizes {
  readonly inner: number;
  readonly eps: number;
  readonly tied: boolean;
}

export const gpt2: Architecture<Gpt2Config> = {
  modelType: "gpt2",
  linears: ["c_attn", "c_proj", "c_fc"],
  defaultTargets: ["c_attn"],
  checkpoint: {
    // The first checkpoints have the names of the body alone, and a mask beside each layer.
    rename: (name) => /^(transformer\.|lm_head\.)/.test(name) ? name : `transformer.${name}`,
    unused: /\.attn\.(bias|masked_bias)$/,
    turned: /\.(c_attn|c_proj|c_fc)\.weight$/,
  },

  config(json) {
    const c = new ConfigReader(json);
    c.only("activation_function", ["gelu_new"], "gelu_new");
    c.only("scale_attn_weights", [true], true);
    c.only("scale_attn_by_inverse_layer_idx", [false], false);
    c.only("add_cross_attention", [false], false);
    const width = c.size("n_embd", 768), heads = c.size("n_head", 12);
    return {
      vocab: c.size("vocab_size", 50257),
      width,
      layers: c.size("n_layer", 12),
      heads,
      kvHeads: heads,
      headDim: width / heads,
      context: c.size("n_positions", 1024),
      firstPosition: 0,
      inner: c.size("n_inner", 4 * width),
      eps: c.number("layer_norm_epsilon", 1e-5),
      tied: c.flag("tie_word_embeddings", true),
    };
  },
  sizes: (config) => config,
  describe: (c) => [
    ["positions", `learnt, ${thousands(c.context)} of them`],
    ["head", c.tied ? "the embedding" : "weights of its own"],
  ],

  hidden(net, c, stream) {
    const { g } = net;
    const shape = {
      ...c,
      rotary: 0,
      tables: undefined,
      bias: true,
      scope: "attn",
      fused: "c_attn",
      out: "c_proj",
    };
    let x: Tensor | undefined;
    for (let i = 0; i < c.layers; i++) {
      const given = x; // the first block embeds, so that nothing must be held for it
      x = g.block("", () => {
        const from = given ?? places(net, c, stream);
        return g.scope(`transformer.h.${i}`, () => {
          const mixed = selfAttention(net, stream, norm(net, "ln_1", from, c), shape);
          const middle = g.add(add, [from, mixed], null)[0]!;
          return inChunks(net, middle, c.inner, (part) => {
            const fed = mlp(net, c, norm(net, "ln_2", part, c));
            return g.add(add, [part, fed], null)[0]!;
          });
        });
      });
    }
    return norm(net, "transformer.ln_f", x!, c);
  },

  head: (net, c) => ({
    weight: c.tied ? words(net, c) : net.weight("lm_head.weight", [c.vocab, c.width]),
  }),
};

const words = (net: Net, c: Gpt2Config) => net.weight("transformer.wte.weight", [c.vocab, c.width]);

/** Words and their positions. */
function places(net: Net, c: Gpt2Config, stream: Stream): Tensor {
  const table = net.weight("transformer.wpe.weight", [c.context, c.width]);
  const at = embed(net.g, table, stream.positions, stream.sortedPositions);
  return net.g.add(add, [embedded(net, words(net, c), stream), at], null)[0]!;
}

function norm(net: Net, name: string, x: Tensor, c: Gpt2Config): Tensor {
  const weight = net.weight(`${name}.weight`, [c.width]),
    bias = net.weight(`${name}.bias`, [c.width]);
  return layernorm(net.g, x, weight, bias, c.eps, net.compute);
}

function mlp(net: Net, c: Gpt2Config, x: Tensor): Tensor {
  return net.g.scope("mlp", () => {
    const inner = geluNew(net.g, linear(net, "c_fc", x, c.inner, { bias: true }));
    return linear(net, "c_proj", inner, c.width, { bias: true, out: "f32" });
  });
}
