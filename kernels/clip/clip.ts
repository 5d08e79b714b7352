import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { hyperSize } from "../adamw/hyper.ts";
import code from "./clip.wgsl" with { type: "text" };

/** [sum, hyper] -> [f32[4]]; see `clip`. */
export const clipOp: Op<null> = {
  name: "clip",
  infer([sum, hyper]) {
    if (count(sum!.shape) !== 1 || count(hyper!.shape) !== hyperSize) {
      throw new Fail(
        `clip: expected f32[1] and f32[${hyperSize}], found ${show(sum!)} and ${show(hyper!)}`,
      );
    }
    return [{ shape: [4], dtype: "f32" }];
  },
  reference([sum, hyper]) {
    const s = sum![0]!, maxNorm = hyper![6]!, norm = Math.sqrt(s);
    if (!Number.isFinite(s)) return [Float64Array.of(0, s, 0, 0)];
    return [Float64Array.of(maxNorm > 0 ? Math.min(1, maxNorm / (norm + 1e-6)) : 1, norm, 1, 0)];
  },
  launch: ({ inputs: [sum, hyper], outputs: [out] }) => [{
    shader: { kernel: { file: "kernels/clip/clip.wgsl", code } },
    workgroups: [1, 1, 1],
    bind: [sum!, hyper!, out!],
  }],
};

/**
 * f32[4]: the scale that brings the gradients down to the norm in `hyper` (Pascanu et al. 2013, with the
 * 1e-6 of torch's clip_grad_norm_), their norm before that, 1 where the norm is finite or else 0, and 0.
 * @param sum f32[1], the sum of squares of all gradients
 * @param hyper what `hyper` in ../adamw/hyper.ts returns
 */
export function clip(g: Graph, sum: Tensor, hyper: Tensor): Tensor {
  return g.add(clipOp, [sum, hyper], null)[0]!;
}
