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
  readonly tables: RopeTables;
  readonly bias: boolean;
  /** Name of the projection back to the width: "o_proj", "dense". */
  readonly out: string;
}

/** Grouped-query self-attention with rotary positions: x[T,C] -> f32[T,C], under the scope "self_attn". */
export function selfAttention(net: Net, stream: Stream, x: Tensor, a: AttentionShape): Tensor {
  const { g } = net, { heads, kvHeads, headDim, rotary, tables, bias } = a;
  return g.scope("self_attn", () => {
    const out = lanes(headDim, rotary) === 4 ? net.compute : "f32";
    const q = linear(net, "q_proj", x, heads * headDim, { bias, out });
    const k = linear(net, "k_proj", x, kvHeads * headDim, { bias, out });
    const v = linear(net, "v_proj", x, kvHeads * headDim, { bias, out });
    const turn = (t: Tensor, heads: number) =>
      rope(g, t, stream.positions, tables, { heads, rotary });
    const scale = 1 / Math.sqrt(headDim);
    const mixed = stream.attend(turn(q, heads), turn(k, kvHeads), v, { heads, kvHeads, scale });
    return linear(net, a.out, mixed, x.shape[1]!, { bias, out: "f32" });
  });
}
