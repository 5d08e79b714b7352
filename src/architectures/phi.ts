// Phi-1, 1.5 and 2: attention and MLP in parallel on one LayerNorm, biases everywhere, the head
// included; the first part of each head is rotated; gelu_new.
import { add } from "../../kernels/add/add.ts";
import { geluNew } from "../../kernels/gelu_new/gelu_new.ts";
import { layernorm } from "../../kernels/layernorm/layernorm.ts";
import type { RopeScaling } from "../../kernels/rope/tables.ts";
import type { Tensor } from "../graph/tensor.ts";
import { selfAttention } from "../nn/attention.ts";
import { inChunks } from "../nn/chunks.ts";
import { embedded } from "../nn/embedding.ts";
import { linear } from "../nn/linear.ts";
import type { Net } from "../nn/net.ts";
import { rotaryTables } from "../nn/rotary.ts";
import type { Architecture, Sizes } from "./architecture.ts";
import { ConfigReader } from "./config.ts";

export interface PhiConfig extends Sizes {
  readonly inner: number;
  readonly eps: number;
  readonly theta: number;
  readonly scaling: RopeScaling | undefined;
  /** How many of a head's dimensions are rotated. */
  readonly rotary: number;
}

export const phi: Architecture<PhiConfig> = {
  modelType: "phi",
  linears: ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"],
  defaultTargets: ["q_proj", "v_proj", "fc1", "fc2"],

  config(json) {
    const c = new ConfigReader(json);
    c.only("hidden_act", ["gelu_new"], "gelu_new");
    c.only("qk_layernorm", [false], false);
    c.only("tie_word_embeddings", [false], false);
    const width = c.size("hidden_size"), heads = c.size("num_attention_heads");
    const headDim = width / heads, { theta, scaling, partial } = c.rope();
    return {
      vocab: c.size("vocab_size"),
      width,
      layers: c.size("num_hidden_layers"),
      heads,
      kvHeads: c.size("num_key_value_heads", heads),
      headDim,
      context: c.size("max_position_embeddings", 2048),
      inner: c.size("intermediate_size"),
      eps: c.number("layer_norm_eps", 1e-5),
      theta,
      scaling,
      rotary: Math.floor(headDim * (partial ?? 0.5)),
    };
  },
  sizes: (config) => config,

  hidden(net, c, stream) {
    const { g } = net;
    const tables = rotaryTables({
      theta: c.theta,
      rotary: c.rotary,
      positions: net.positions,
      scaling: c.scaling,
    });
    const shape = { ...c, tables, bias: true, out: "dense" };
    const words = net.weight("model.embed_tokens.weight", [c.vocab, c.width]);
    let x: Tensor | undefined;
    for (let i = 0; i < c.layers; i++) {
      const given = x; // the first block embeds, so that nothing must be held for it
      x = g.block("", () => {
        const from = given ?? embedded(net, words, stream);
        return g.scope(`model.layers.${i}`, () => {
          const h = norm(net, "input_layernorm", from, c);
          const mixed = selfAttention(net, stream, h, shape);
          const fed = inChunks(net, h, c.inner, (part) => mlp(net, c, part));
          const both = g.add(add, [mixed, fed], null)[0]!;
          return g.add(add, [from, both], null)[0]!;
        });
      });
    }
    return norm(net, "model.final_layernorm", x!, c);
  },

  head: (net, c) => ({
    weight: net.weight("lm_head.weight", [c.vocab, c.width]),
    bias: net.weight("lm_head.bias", [c.vocab]),
  }),
};

function norm(net: Net, name: string, x: Tensor, c: PhiConfig): Tensor {
  const weight = net.weight(`${name}.weight`, [c.width]),
    bias = net.weight(`${name}.bias`, [c.width]);
  return layernorm(net.g, x, weight, bias, c.eps, net.compute);
}

function mlp(net: Net, c: PhiConfig, x: Tensor): Tensor {
  return net.g.scope("mlp", () => {
    const inner = geluNew(net.g, linear(net, "fc1", x, c.inner, { bias: true }));
    return linear(net, "fc2", inner, c.width, { bias: true, out: "f32" });
  });
}
