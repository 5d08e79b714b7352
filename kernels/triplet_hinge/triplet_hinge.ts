import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import { onlyF32 } from "../common/stored.ts";
import { summing } from "../common/sum.ts";
import codeBackward from "./triplet_hinge_backward.wgsl" with { type: "text" };
import code from "./triplet_hinge.wgsl" with { type: "text" };

interface Attrs {
  readonly margin: number;
}

/** [near, far, weight f32[N]] -> [loss[1]]; see `tripletHinge`. */
export const tripletHingeOp: Op<Attrs> = {
  name: "triplet_hinge",
  infer(inputs) {
    onlyF32("triplet_hinge", ...inputs);
    if (inputs.some((t) => String(t.shape) !== String(inputs[0]!.shape))) {
      throw new Fail(`triplet_hinge: ${inputs.map(show).join(", ")} do not fit each other`);
    }
    return [{ shape: [1], dtype: "f32" }];
  },
  reference: ([near, far, weight], { margin }) => [
    Float64Array.of(
      near!.reduce((sum, v, n) => sum + weight![n]! * Math.max(0, v - far![n]! + margin), 0),
    ),
  ],
  launch({ inputs, outputs: [loss], attrs: { margin } }, can) {
    const kernel = { file: "kernels/triplet_hinge/triplet_hinge.wgsl", code };
    return [{
      shader: summing({ kernel, constants: { MARGIN: margin } }, can, 64, "f32"),
      workgroups: [1, 1, 1],
      bind: [...inputs, loss!],
    }];
  },
  backward: (g, { inputs, attrs }, [dloss]) => [
    ...g.add(tripletHingeBackward, [dloss!, ...inputs], attrs),
    undefined,
  ],
};

/** [dloss, near, far, weight] -> [d_near, d_far] */
export const tripletHingeBackward: Op<Attrs> = {
  name: "triplet_hinge_backward",
  infer: ([, near, far]) => [near!, far!],
  reference([dloss, near, far, weight], { margin }) {
    const d = near!.map((v, n) => v - far![n]! + margin > 0 ? dloss![0]! * weight![n]! : 0);
    return [d, d.map((v) => -v)];
  },
  launch({ inputs, outputs, attrs: { margin } }) {
    const kernel = {
      file: "kernels/triplet_hinge/triplet_hinge_backward.wgsl",
      code: codeBackward,
    };
    return [{
      shader: { kernel, constants: { MARGIN: margin } },
      workgroups: grid(Math.ceil(count(outputs[0]!.shape) / 64)),
      bind: [...inputs, ...outputs],
    }];
  },
};

/**
 * f32[1]: Σ weight · max(0, near - far + margin), the triplet loss (Schroff et al. 2015) over distances
 * f32[N] of each anchor to its positive and to its negative.
 * @throws Fail when the inputs differ in shape
 */
export const tripletHinge = (
  g: Graph,
  near: Tensor,
  far: Tensor,
  weight: Tensor,
  margin: number,
): Tensor => g.add(tripletHingeOp, [near, far, weight], { margin })[0]!;
