import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import tree from "../common/sum_tree.wgsl" with { type: "text" };
import spreadCode from "./segment_spread.wgsl" with { type: "text" };
import sumCode from "./segment_sum.wgsl" with { type: "text" };

/** [x f32[S], bounds u32[N,2], owner u32[S]] -> [y f32[N,1]]; see `segmentSum`. */
export const segmentSumOp: Op<null> = {
  name: "segment_sum",
  infer([x, bounds, owner]) {
    if (x!.dtype !== "f32" || count(owner!.shape) !== count(x!.shape)) {
      throw new Fail(
        `segment_sum: ${show(owner!)} does not name a segment for each of ${show(x!)}`,
      );
    }
    return [{ shape: [count(bounds!.shape) / 2, 1], dtype: "f32" }];
  },
  reference([x, bounds]) {
    const y = new Float64Array(bounds!.length / 2);
    for (let n = 0; n < y.length; n++) {
      for (let s = bounds![2 * n]!; s < bounds![2 * n + 1]!; s++) y[n]! += x![s]!;
    }
    return [y];
  },
  launch: ({ inputs: [x, bounds], outputs: [y] }) => [{
    shader: {
      kernel: { file: "kernels/segment_sum/segment_sum.wgsl", code: sumCode },
      parts: [{ file: "kernels/common/sum_tree.wgsl", code: tree }],
      constants: { LANES: 64 },
      alias: { Sum: "f32" },
    },
    workgroups: grid(count(y!.shape)),
    bind: [x!, bounds!, y!],
  }],
  backward: (g, { inputs: [x, , owner] }, [dy]) => [
    g.add(segmentSpreadOp, [dy!, owner!], { shape: x!.shape })[0],
    undefined,
    undefined,
  ],
};

/** [y f32[N,1], owner u32[S]] -> [x of `shape`]: x[s] = y[owner[s]], 0 where that is no segment. */
export const segmentSpreadOp: Op<{ readonly shape: readonly number[] }> = {
  name: "segment_spread",
  infer: (_inputs, { shape }) => [{ shape, dtype: "f32" }],
  reference: ([y, owner]) => [Float64Array.from(owner!, (n) => y![n] ?? 0)],
  launch: ({ inputs: [y, owner], outputs: [x] }) => [{
    shader: { kernel: { file: "kernels/segment_sum/segment_spread.wgsl", code: spreadCode } },
    workgroups: grid(Math.ceil(count(x!.shape) / 64)),
    bind: [y!, owner!, x!],
  }],
};

/**
 * y[n] = Σ x[s] over s in [bounds[n, 0], bounds[n, 1]): f32[S] -> f32[N, 1]. `owner` is the way back,
 * owner[s] = n for those s, and anything ≥ N for an s of no segment.
 * @throws Fail when `owner` does not have one entry for each number of x
 */
export const segmentSum = (g: Graph, x: Tensor, bounds: Tensor, owner: Tensor): Tensor =>
  g.add(segmentSumOp, [x, bounds, owner], null)[0]!;
