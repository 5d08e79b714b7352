// Llama 2/3.x, SmolLM 1/2 and everything shaped like them: RMSNorm before each branch, grouped-query
// attention with full rotary embedding, SwiGLU, no biases unless config.json asks, tied or untied head.
import type { RopeScaling } from "../../kernels/rope/tables.ts";
import { add } from "../../kernels/add/add.ts";
import { rmsnorm } from "../../kernels/rmsnorm/rmsnorm.ts";
import { siluMul } from "../../kernels/silu_mul/silu_mul.ts";
import type { Tensor } from "../graph/tensor.ts";
import { selfAttention } from "../nn/attention.ts";
import { inChunks } from "../nn/chunks.ts";
import { embedded } from "../nn/embedding.ts";
import { linear } from "../nn/linear.ts";
import type { Net } from "../nn/net.ts";
import { rotaryTables } from "../nn/rotary.ts";
import type { Architecture, Sizes } from "./architecture.ts";
import { ConfigReader } from "./config.ts";

export interface LlamaConfig extends Sizes {
  readonly inner: number;
  readonly eps: number;
  readonly theta: number;
  readonly scaling: RopeScaling | undefined;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  readonly tied: boolean;
}

export const llama: Architecture<LlamaConfig> = {
  modelType: "llama",
  linears: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
  defaultTargets: ["q_proj", "v_proj"],

  config(json) {
    const c = new ConfigReader(json);
    c.only("hidden_act", ["silu"], "silu");
    const width = c.size("hidden_size"), heads = c.size("num_attention_heads");
    const { theta, scaling } = c.rope();
    return {
      vocab: c.size("vocab_size"),
      width,
      layers: c.size("num_hidden_layers"),
      heads,
      kvHeads: c.size("num_key_value_heads", heads),
      headDim: c.size("head_dim", width / heads),
      context: c.size("max_position_embeddings", 2048),
      inner: c.size("intermediate_size"),
      eps: c.number("rms_norm_eps", 1e-6),
      theta,
      scaling,
      attentionBias: c.flag("attention_bias", false),
      mlpBias: c.flag("mlp_bias", false),
      tied: c.flag("tie_word_embeddings", false),
    };
  },
  sizes: (config) => config,

  hidden(net, c, stream) {
    const { g } = net;
    const tables = rotaryTables({
      theta: c.theta,
      rotary: c.headDim,
      positions: net.positions,
      scaling: c.scaling,
    });
    const shape = { ...c, rotary: c.headDim, tables, bias: c.attentionBias, out: "o_proj" };
    let x: Tensor | undefined;
    for (let i = 0; i < c.layers; i++) {
      const given = x; // the first block embeds, so that nothing must be held for it
      x = g.block("", () => {
        const from = given ?? embedded(net, embedding(net, c), stream);
        return g.scope(`model.layers.${i}`, () => {
          const mixed = selfAttention(net, stream, norm(net, "input_layernorm", from, c), shape);
          return inChunks(net, g.add(add, [from, mixed], null)[0]!, c.inner, (middle) => {
            const h = norm(net, "post_attention_layernorm", middle, c);
            return g.add(add, [middle, mlp(net, c, h)], null)[0]!;
          });
        });
      });
    }
    return norm(net, "model.norm", x!, c);
  },

  head(net, c) {
    const weight = c.tied ? embedding(net, c) : net.weight("lm_head.weight", [c.vocab, c.width]);
    return { weight };
  },
};

const embedding = (net: Net, c: LlamaConfig) =>
  net.weight("model.embed_tokens.weight", [c.vocab, c.width]);

const norm = (net: Net, name: string, x: Tensor, c: LlamaConfig) =>
  rmsnorm(net.g, x, net.weight(`${name}.weight`, [c.width]), c.eps, { out: net.compute });

function mlp(net: Net, c: LlamaConfig, x: Tensor): Tensor {
  const bias = c.mlpBias;
  return net.g.scope("mlp", () => {
    const gate = linear(net, "gate_proj", x, c.inner, { bias });
    const up = linear(net, "up_proj", x, c.inner, { bias });
    return linear(net, "down_proj", siluMul(net.g, gate, up), c.width, { bias, out: "f32" });
  });
}
