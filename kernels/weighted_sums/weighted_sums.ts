import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import tree from "../common/sum_tree.wgsl" with { type: "text" };
import code from "./weighted_sums.wgsl" with { type: "text" };

/** [x f32[S], w f32[S,2]] -> [y f32[2]]; see `weightedSums`. */
export const weightedSumsOp: Op<null> = {
  name: "weighted_sums",
  infer([x, w]) {
    if (x!.dtype !== "f32" || count(w!.shape) !== 2 * count(x!.shape)) {
      throw new Fail(`weighted_sums: ${show(w!)} has no two weights for each of ${show(x!)}`);
    }
    return [{ shape: [2], dtype: "f32" }];
  },
  reference([x, w]) {
    const y = new Float64Array(2);
    x!.forEach((value, s) => {
      for (const k of [0, 1]) if (w![2 * s + k] !== 0) y[k]! += value * w![2 * s + k]!;
    });
    return [y];
  },
  launch: ({ inputs, outputs }) => [{
    shader: {
      kernel: { file: "kernels/weighted_sums/weighted_sums.wgsl", code },
      parts: [{ file: "kernels/common/sum_tree.wgsl", code: tree }],
      constants: { LANES: 256 },
      alias: { Sum: "vec2f" },
    },
    workgroups: [1, 1, 1],
    bind: [...inputs, ...outputs],
  }],
  backward() {
    throw new Fail("weighted_sums: what is only logged has no gradient");
  },
};

/**
 * y[k] = Σ x[s] · w[s, k]: f32[S] and f32[S, 2] -> f32[2]. For numbers that are logged: no gradient.
 * @throws Fail when shapes do not fit
 */
export const weightedSums = (g: Graph, x: Tensor, w: Tensor): Tensor =>
  g.add(weightedSumsOp, [x, w], null)[0]!;
