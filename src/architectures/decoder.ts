// What most decoders are: a norm before each branch, grouped-query attention with rotary embedding, a
// gated feed-forward layer, a tied or untied head. A family says in its config which of the variations
// it has, and nothing more.
import type { RopeOptions } from "../../kernels/rope/tables.ts";
import { add } from "../../kernels/add/add.ts";
import { splitColumns } from "../../kernels/columns/columns.ts";
import { geluMul } from "../../kernels/gelu_mul/gelu_mul.ts";
import { rmsnorm } from "../../kernels/rmsnorm/rmsnorm.ts";
import { siluMul } from "../../kernels/silu_mul/silu_mul.ts";
import { bf16ToF32, f32ToBf16 } from "../base/bits.ts";
import { thousands } from "../base/text.ts";
import type { Tensor } from "../graph/tensor.ts";
import { selfAttention } from "../nn/attention.ts";
import { inChunks } from "../nn/chunks.ts";
import { embedded } from "../nn/embedding.ts";
import { linear } from "../nn/linear.ts";
import type { Net } from "../nn/net.ts";
import { rotaryTables } from "../nn/rotary.ts";
import type { Architecture, Sizes } from "./architecture.ts";

export interface DecoderConfig extends Sizes {
  readonly inner: number;
  readonly eps: number;
  /** How each layer turns positions; undefined: not at all. */
  readonly rope: readonly (Omit<RopeOptions, "positions"> | undefined)[];
  /** Biases of the projections to queries, keys and values, of the one back, of the feed-forward layer. */
  readonly bias: { readonly qkv: boolean; readonly out: boolean; readonly mlp: boolean };
  /** Queries and keys are normalised head by head before they are turned. */
  readonly headNorms?: boolean;
  readonly tied: boolean;
  /** One projection for queries, keys and values, and one for gate and up. */
  readonly fused?: boolean;
  /** How many tokens back each layer sees, its own among them; undefined: all. */
  readonly windows?: readonly (number | undefined)[];
  /** What embeddings are multiplied with. */
  readonly embeddingScale?: number;
  /** Norms hold gain - 1. */
  readonly plusOne?: boolean;
  /** Each branch's result is normalised too, before it is added. */
  readonly postNorms?: boolean;
  /** The unit of the feed-forward layer; "silu" unless told. */
  readonly gate?: "silu" | "gelu";
  /** What scores are multiplied with; 1/√headDim unless told. */
  readonly scale?: number;
  /** Caps of scores and logits: s becomes cap · tanh(s / cap). */
  readonly scoreCap?: number;
  readonly logitCap?: number;
}

/** The linear layers of a decoder whose projections are all apart. */
const linears = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/**
 * A family of decoders: config.json's model_type, and how the rest of it is read.
 * @param names of its linear layers, where they are not all apart
 */
export function decoder(
  modelType: string,
  config: Architecture<DecoderConfig>["config"],
  names: Pick<Architecture, "linears" | "defaultTargets"> = {
    linears,
    defaultTargets: ["q_proj", "v_proj"],
  },
): Architecture<DecoderConfig> {
  return {
    modelType,
    ...names,
    config,
    sizes: (c) => c,
    describe,
    hidden(net, c, stream) {
      const { g } = net;
      let x: Tensor | undefined;
      for (let i = 0; i < c.layers; i++) {
        const rope = c.rope[i], given = x; // the first block embeds, so that nothing must be held for it
        const shape = {
          ...c,
          tables: rope && rotaryTables({ ...rope, positions: net.positions }),
          rotary: rope?.rotary ?? 0,
          bias: c.bias.qkv,
          outBias: c.bias.out,
          out: "o_proj",
          fused: c.fused ? "qkv_proj" : undefined,
          norm: c.headNorms ? norm(net, c, c.headDim) : undefined,
          window: c.windows?.[i],
          cap: c.scoreCap,
        };
        x = g.block("", () => {
          const from = given ?? embedded(net, embedding(net, c), stream, embeddingScale(net, c));
          return g.scope(`model.layers.${i}`, () => {
            const h = norm(net, c)("input_layernorm", from);
            const mixed = selfAttention(net, stream, h, shape);
            const middle = joined(net, c, from, "post_attention_layernorm", mixed);
            return inChunks(net, middle, c.inner, (middle) => {
              const name = c.postNorms ? "pre_feedforward_layernorm" : "post_attention_layernorm";
              const fed = mlp(net, c, norm(net, c)(name, middle));
              return joined(net, c, middle, "post_feedforward_layernorm", fed);
            });
          });
        });
      }
      return norm(net, c)("model.norm", x!);
    },
    head: (net, c) => ({
      weight: c.tied ? embedding(net, c) : net.weight("lm_head.weight", [c.vocab, c.width]),
      cap: c.logitCap,
    }),
  };
}

function describe(c: DecoderConfig): [string, string][] {
  const ropes = new Set(c.rope),
    some = (n: number) => n === c.layers ? "all" : `${n} of ${c.layers}`;
  const turned = [...ropes].map((rope) => {
    const layers = some(c.rope.filter((other) => other === rope).length);
    if (!rope) return `not turned in ${layers} layers`;
    const scaled = rope.scaling ? `, ${rope.scaling.type} scaling` : "";
    const part = rope.rotary < c.headDim ? `, ${rope.rotary} of ${c.headDim} numbers a head` : "";
    return `rotary with base ${thousands(rope.theta)}${scaled}${part} in ${layers} layers`;
  });
  const windows = c.windows?.filter((window) => window !== undefined) ?? [];
  const caps = [
    c.scoreCap ? `scores at ${c.scoreCap}` : "",
    c.logitCap ? `logits at ${c.logitCap}` : "",
  ].filter((cap) => cap !== "");
  const lines: [string, string][] = [["positions", turned.join("; ")]];
  if (windows.length > 0) {
    const seen = thousands(windows[0]!);
    lines.push(["sliding window", `${seen} tokens back in ${some(windows.length)} layers`]);
  }
  if (caps.length > 0) lines.push(["soft caps", caps.join(", ")]);
  if (c.headNorms) lines.push(["queries, keys", "normalised head by head"]);
  lines.push(["head", c.tied ? "the embedding" : "weights of its own"]);
  return lines;
}

const embedding = (net: Net, c: DecoderConfig) =>
  net.weight("model.embed_tokens.weight", [c.vocab, c.width]);

/** What embeddings are multiplied with: transformers gives the number the type of the table. */
function embeddingScale(net: Net, { embeddingScale: exact = 1 }: DecoderConfig): number {
  const stored = net.dtypeOf("model.embed_tokens.weight");
  return stored === "bf16"
    ? bf16ToF32(f32ToBf16(exact))
    : stored === "f16"
    ? Math.f16round(exact)
    : exact;
}

const norm =
  (net: Net, c: DecoderConfig, width = c.width, out = net.compute) =>
  (name: string, x: Tensor): Tensor =>
    rmsnorm(net.g, x, net.weight(`${name}.weight`, [width]), c.eps, { out, plusOne: c.plusOne });

/** The residual stream and what a branch adds to it, which a family may normalise under `name` first. */
function joined(net: Net, c: DecoderConfig, x: Tensor, name: string, branch: Tensor): Tensor {
  const added = c.postNorms ? norm(net, c, c.width, "f32")(name, branch) : branch;
  return net.g.add(add, [x, added], null)[0]!;
}

function mlp(net: Net, c: DecoderConfig, x: Tensor): Tensor {
  const bias = c.bias.mlp;
  return net.g.scope("mlp", () => {
    const [gate, up] = c.fused
      ? splitColumns(net.g, linear(net, "gate_up_proj", x, 2 * c.inner, { bias }), [
        c.inner,
        c.inner,
      ])
      : ["gate_proj", "up_proj"].map((name) => linear(net, name, x, c.inner, { bias }));
    return linear(
      net,
      "down_proj",
      (c.gate === "gelu" ? geluMul : siluMul)(net.g, gate!, up!),
      c.width,
      { bias, out: "f32" },
    );
  });
}
