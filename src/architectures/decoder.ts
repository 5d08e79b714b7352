// What most decoders are: a norm before each branch, grouped-query attention with rotary embedding, a
// gated feed-forward layer, a tied or untied head. A family says in its config which of the variations
// it has, and nothing more.
import type { RopeOptions } from "../../kernels/rope/tables.ts";
import { add } from "../../kernels/add/add.ts";
import { embed } from "../../kernels/embedding/embedding.ts";
import { rmsnorm } from "../../kernels/rmsnorm/rmsnorm.ts";
import { siluMul } from "../../kernels/silu_mul/silu_mul.ts";
import type { Tensor } from "../graph/tensor.ts";
import { selfAttention } from "../nn/attention.ts";
import { inChunks } from "../nn/chunks.ts";
import { linear } from "../nn/linear.ts";
import type { Net } from "../nn/net.ts";
import { rotaryTables } from "../nn/rotary.ts";
import type { Architecture, Sizes } from "./architecture.ts";

export interface DecoderConfig extends Sizes {
  readonly inner: number;
  readonly eps: number;
  /** How each layer turns positions; one object for layers that do the same. */
  readonly rope: readonly Omit<RopeOptions, "positions">[];
  /** Biases of the projections to queries, keys and values, of the one back, of the feed-forward layer. */
  readonly bias: { readonly qkv: boolean; readonly out: boolean; readonly mlp: boolean };
  /** Queries and keys are normalised head by head before they are turned. */
  readonly headNorms?: boolean;
  readonly tied: boolean;
}

/** The linear layers of a decoder whose projections are all apart. */
const linears = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/** A family of decoders: config.json's model_type, and how the rest of it is read. */
export function decoder(
  modelType: string,
  config: Architecture<DecoderConfig>["config"],
): Architecture<DecoderConfig> {
  return {
    modelType,
    linears,
    defaultTargets: ["q_proj", "v_proj"],
    config,
    sizes: (c) => c,
    hidden(net, c, stream) {
      const { g } = net;
      let x: Tensor | undefined;
      for (let i = 0; i < c.layers; i++) {
        const given = x; // the first block embeds, so that nothing must be held for it
        const shape = {
          ...c,
          tables: rotaryTables({ ...c.rope[i]!, positions: net.positions }),
          rotary: c.rope[i]!.rotary,
          bias: c.bias.qkv,
          outBias: c.bias.out,
          out: "o_proj",
          norm: c.headNorms ? norm(net, c, c.headDim) : undefined,
        };
        x = g.block("", () => {
          const from = given ?? embed(g, embedding(net, c), stream.ids, stream.sorted);
          return g.scope(`model.layers.${i}`, () => {
            const h = norm(net, c)("input_layernorm", from);
            const middle = g.add(add, [from, selfAttention(net, stream, h, shape)], null)[0]!;
            return inChunks(net, middle, c.inner, (middle) => {
              const h = norm(net, c)("post_attention_layernorm", middle);
              return g.add(add, [middle, mlp(net, c, h)], null)[0]!;
            });
          });
        });
      }
      return norm(net, c)("model.norm", x!);
    },
    head: (net, c) => ({
      weight: c.tied ? embedding(net, c) : net.weight("lm_head.weight", [c.vocab, c.width]),
    }),
  };
}

const embedding = (net: Net, c: DecoderConfig) =>
  net.weight("model.embed_tokens.weight", [c.vocab, c.width]);

const norm = (net: Net, c: DecoderConfig, width = c.width) => (name: string, x: Tensor): Tensor =>
  rmsnorm(net.g, x, net.weight(`${name}.weight`, [width]), c.eps, { out: net.compute });

function mlp(net: Net, c: DecoderConfig, x: Tensor): Tensor {
  const bias = c.bias.mlp;
  return net.g.scope("mlp", () => {
    const gate = linear(net, "gate_proj", x, c.inner, { bias });
    const up = linear(net, "up_proj", x, c.inner, { bias });
    return linear(net, "down_proj", siluMul(net.g, gate, up), c.width, { bias, out: "f32" });
  });
}
