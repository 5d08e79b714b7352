import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { isBlocks } from "../../src/formats/gguf_planes.ts";
import { blockParts } from "../common/gguf.ts";
import { grid } from "../common/grid.ts";
import { numbers } from "../common/numbers.ts";
import { rowRanges } from "../common/ranges.ts";
import forward from "./embedding.wgsl" with { type: "text" };
import blocks from "./embedding_blocks.wgsl" with { type: "text" };
import back from "./embedding_backward.wgsl" with { type: "text" };
import bf16 from "./table_bf16.wgsl" with { type: "text" };
import f16 from "./table_f16.wgsl" with { type: "text" };
import f32 from "./table_f32.wgsl" with { type: "text" };

const tables = {
  f32: { file: "kernels/embedding/table_f32.wgsl", code: f32 },
  f16: { file: "kernels/embedding/table_f16.wgsl", code: f16 },
  bf16: { file: "kernels/embedding/table_bf16.wgsl", code: bf16 },
};

/**
 * x f32[T, C] = rows `ids` u32[T] of w (f32, f16, bf16 or blocks of GGUF)[V, C]. Two further inputs, order u32[T] and
 * bounds u32[V+1] from `sortByToken`, are needed where w is trained. Every id must be below V.
 */
export const embedding: Op<null> = {
  name: "embedding",
  infer([w, ids, order, bounds]) {
    const [V, C] = w!.shape as [number, number], T = count(ids!.shape);
    const sorted = !order || (count(order.shape) === T && bounds && count(bounds.shape) === V + 1);
    if (w!.dtype === "u32" || ids!.dtype !== "u32" || !sorted) {
      const found = [w!, ids!, order, bounds].filter((t) => t !== undefined).map(show);
      throw new Fail(`embedding: inputs do not fit: ${found.join(", ")}`);
    }
    return [{ shape: [T, C], dtype: "f32" }];
  },
  reference([w, ids], _attrs, { inputs }) {
    const C = inputs[0]!.shape[1]!, x = new Float64Array(ids!.length * C);
    ids!.forEach((id, t) => x.set(w!.subarray(id * C, (id + 1) * C), t * C));
    return [x];
  },
  launch({ inputs: [w, ids], outputs: [x] }, can) {
    const N = count(x!.shape), C = w!.shape[1]!, { dtype } = w!;
    if (isBlocks(dtype)) {
      const kernel = { file: "kernels/embedding/embedding_blocks.wgsl", code: blocks };
      return rowRanges(w!, can).map(({ from, rows, bound }) => ({
        shader: { kernel, parts: blockParts(dtype) },
        workgroups: grid(Math.ceil(N / 256)),
        bind: [ids!, bound, x!, numbers(rows, C, from)],
      }));
    }
    return rowRanges(w!, can).map(({ from, rows, bound }) => ({
      shader: {
        kernel: { file: "kernels/embedding/embedding.wgsl", code: forward },
        parts: [tables[dtype as keyof typeof tables]],
        constants: { N, C },
      },
      workgroups: grid(Math.ceil(N / 64)),
      bind: [bound, ids!, x!, numbers(from, from + rows)],
    }));
  },
  backward(g, { inputs: [w, , order, bounds] }, [dx]) {
    if (!order || !bounds) {
      throw new Fail(`embedding: ${show(w!)} is trained, but the tokens were not given sorted`);
    }
    return g.add(embeddingBackward, [dx!, order, bounds], { vocabulary: w!.shape[0]! });
  },
};

/** dw f32[V, C] from dx f32[T, C], order u32[T] and bounds u32[V+1]. */
export const embeddingBackward: Op<{ readonly vocabulary: number }> = {
  name: "embedding_backward",
  infer: ([dx], { vocabulary }) => [{ shape: [vocabulary, dx!.shape[1]!], dtype: "f32" }],
  reference([dx, order, bounds], { vocabulary }, { inputs }) {
    const C = inputs[0]!.shape[1]!, dw = new Float64Array(vocabulary * C);
    for (let v = 0; v < vocabulary; v++) {
      for (let i = bounds![v]!; i < bounds![v + 1]!; i++) {
        for (let c = 0; c < C; c++) dw[v * C + c]! += dx![order![i]! * C + c]!;
      }
    }
    return [dw];
  },
  launch({ inputs, outputs: [dw] }) {
    const wide = dw!.shape[1]! % 4 === 0 ? 4 : 1, N = count(dw!.shape) / wide;
    return [{
      shader: {
        kernel: { file: "kernels/embedding/embedding_backward.wgsl", code: back },
        alias: { Vec: wide === 4 ? "vec4f" : "f32" },
        constants: { N, C: dw!.shape[1]! / wide },
      },
      workgroups: grid(Math.ceil(N / 64)),
      bind: [...inputs, dw!],
    }];
  },
};

/** What the host must know of a batch so that the gradient of the table can be summed without atomics. */
export interface SortedTokens {
  /** u32[T]: token positions by rising id, equal ids in rising position. */
  readonly order: Uint32Array;
  /** u32[V+1]: id v has order[bounds[v]] to order[bounds[v + 1] - 1]. */
  readonly bounds: Uint32Array;
}

/**
 * Counting sort of token ids u32[T].
 * @throws Fail for an id that is not below the vocabulary's size
 */
export function sortByToken(ids: ArrayLike<number>, vocabulary: number): SortedTokens {
  const bounds = new Uint32Array(vocabulary + 1), order = new Uint32Array(ids.length);
  for (let t = 0; t < ids.length; t++) {
    if (!(ids[t]! < vocabulary)) {
      throw new Fail(
        `token id ${ids[t]} at position ${t} is outside the vocabulary of ${vocabulary}`,
      );
    }
    bounds[ids[t]! + 1]!++;
  }
  for (let v = 0; v < vocabulary; v++) bounds[v + 1]! += bounds[v]!;
  const next = bounds.slice();
  for (let t = 0; t < ids.length; t++) order[next[ids[t]!]!++] = t;
  return { order, bounds };
}

/** x f32[T, C]: the rows of w that `ids` name; `sorted` (order, bounds) where w is trained. */
export function embed(
  g: Graph,
  w: Tensor,
  ids: Tensor,
  sorted?: { readonly order: Tensor; readonly bounds: Tensor },
): Tensor {
  const inputs = sorted ? [w, ids, sorted.order, sorted.bounds] : [w, ids];
  return g.add(embedding, inputs, null)[0]!;
}
