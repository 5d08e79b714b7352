import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import { onlyF32 } from "../common/stored.ts";
import { summing } from "../common/sum.ts";
import codeBackward from "./contrastive_backward.wgsl" with { type: "text" };
import code from "./contrastive.wgsl" with { type: "text" };

interface Attrs {
  readonly margin: number;
}

/** [d, same, weight f32[N]] -> [loss[1]]; see `contrastive`. */
export const contrastiveOp: Op<Attrs> = {
  name: "contrastive",
  infer(inputs) {
    onlyF32("contrastive", ...inputs);
    if (inputs.some((t) => String(t.shape) !== String(inputs[0]!.shape))) {
      throw new Fail(`contrastive: ${inputs.map(show).join(", ")} do not fit each other`);
    }
    return [{ shape: [1], dtype: "f32" }];
  },
  reference: ([d, same, weight], { margin }) => [
    Float64Array.of(d!.reduce((sum, v, n) => {
      const term = same![n]! * v * v + (1 - same![n]!) * Math.max(0, margin - v) ** 2;
      return sum + weight![n]! / 2 * term;
    }, 0)),
  ],
  launch({ inputs, outputs: [loss], attrs: { margin } }, can) {
    const kernel = { file: "kernels/contrastive/contrastive.wgsl", code };
    return [{
      shader: summing({ kernel, constants: { MARGIN: margin } }, can, 64, "f32"),
      workgroups: [1, 1, 1],
      bind: [...inputs, loss!],
    }];
  },
  backward: (g, { inputs, attrs }, [dloss]) => [
    ...g.add(contrastiveBackward, [dloss!, ...inputs], attrs),
    undefined,
    undefined,
  ],
};

/** [dloss, d, same, weight] -> [dd] */
export const contrastiveBackward: Op<Attrs> = {
  name: "contrastive_backward",
  infer: ([, d]) => [d!],
  reference: ([dloss, d, same, weight], { margin }) => [
    d!.map((v, n) =>
      dloss![0]! * weight![n]! * (same![n]! * v - (1 - same![n]!) * Math.max(0, margin - v))
    ),
  ],
  launch({ inputs, outputs: [dd], attrs: { margin } }) {
    const kernel = { file: "kernels/contrastive/contrastive_backward.wgsl", code: codeBackward };
    return [{
      shader: { kernel, constants: { MARGIN: margin } },
      workgroups: grid(Math.ceil(count(dd!.shape) / 64)),
      bind: [...inputs, dd!],
    }];
  },
};

/**
 * f32[1]: Σ weight/2 · (same · d² + (1 - same) · max(0, margin - d)²), the contrastive loss (Hadsell et
 * al. 2006) over distances d f32[N] of pairs; same is 1 for those that belong together, else 0.
 * @throws Fail when the inputs differ in shape
 */
export const contrastive = (
  g: Graph,
  d: Tensor,
  same: Tensor,
  weight: Tensor,
  margin: number,
): Tensor => g.add(contrastiveOp, [d, same, weight], { margin })[0]!;
