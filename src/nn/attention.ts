import { splitColumns } from "../../kernels/columns/columns.ts";
import type { RopeTables } from "../../kernels/rope/tables.ts";
import { lanes, rope } from "../../kernels/rope/rope.ts";
import type { Tensor } from "../graph/tensor.ts";
import { linear } from "./linear.ts";
import type { Net } from "./net.ts";

export interface Heads {
  readonly heads: number;
  readonly kvHeads: number;
  /** What scores are multiplied with before the softmax. */
  readonly scale: number;
  /** Scores s become cap · tanh(s / cap). */
  readonly cap?: number;
  /** A token sees so many tokens back, its own among them; undefined: all. */
  readonly window?: number;
}

/** The tokens a model sees, and how they may look at each other: the caller's side of a recording. */
export interface Stream {
  /** u32[T] */
  readonly ids: Tensor;
  /** u32[T]: place of each token in its own sequence */
  readonly positions: Tensor;
  /** Token indices sorted by id, u32[T], and where each id begins, u32[V+1]: only for a trained embedding. */
  readonly sorted?: { readonly order: Tensor; readonly bounds: Tensor };
  /** The same of positions, for a position table that is trained. */
  readonly sortedPositions?: { readonly order: Tensor; readonly bounds: Tensor };
  /** What is added to the embeddings, [T,C] -> [T,C]: noise in training. */
  noise?(x: Tensor): Tensor;
  /** Mixes values: q[T,H·D], k and v[T,Hkv·D] -> [T,H·D], stored as q is. Batches and caches differ only here. */
  attend(q: Tensor, k: Tensor, v: Tensor, heads: Heads): Tensor;
}

export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** How many of a head's dimensions are rotated. */
  readonly rotary: number;
  /** Undefined: positions are not turned. */
  readonly tables: RopeTables | undefined;
  readonly bias: boolean;
  /** The same of the projection back, where it differs. */
  readonly outBias?: boolean;
  /** The name of the one projection that gives queries, keys and values, where there is one. */
  readonly fused?: string;
  /** What scores are multiplied with; 1/√headDim unless told. */
  readonly scale?: number;
  readonly cap?: number;
  readonly window?: number;
  /** Normalises queries and keys head by head under this name, before they are turned. */
  norm?(name: string, x: Tensor): Tensor;
  /** Name of the projection back to the width: "o_proj", "dense". */
  readonly out: string;
  /** "self_attn" unless told. */
  readonly scope?: string;
}

/** Grouped-query self-attention, positions turned or not: x[T,C] -> f32[T,C]. */
export function selfAttention(net: Net, stream: Stream, x: Tensor, a: AttentionShape): Tensor {
  const { g } = net, { heads, kvHeads, headDim, rotary, tables, bias } = a;
  return g.scope(a.scope ?? "self_attn", () => {
    const narrow = tables ? lanes(headDim, rotary) === 4 : headDim % 4 === 0;
    const out = narrow ? net.compute : "f32";
    const before = a.norm ? "f32" : out, widths = [heads, kvHeads, kvHeads].map((n) => n * headDim);
    const [q, k, v] = a.fused
      ? splitColumns(
        g,
        linear(net, a.fused, x, (heads + 2 * kvHeads) * headDim, { bias, out }),
        widths,
      )
      : ["q", "k", "v"].map((name, i) =>
        linear(net, `${name}_proj`, x, widths[i]!, { bias, out: name === "v" ? out : before })
      );
    const turned = (name: string, t: Tensor, heads: number) => {
      const normal = a.norm?.(name, t) ?? t;
      return tables ? rope(g, normal, stream.positions, tables, { heads, rotary }) : normal;
    };
    const { scale = 1 / Math.sqrt(headDim), cap, window } = a;
    const mixed = stream.attend(turned("q_norm", q!, heads), turned("k_norm", k!, kvHeads), v!, {
      heads,
      kvHeads,
      scale,
      cap,
      window,
    });
    return linear(net, a.out, mixed, x.shape[1]!, { bias: a.outBias ?? bias, out: "f32" });
  });
}
