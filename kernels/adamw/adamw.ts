import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { elementwise } from "../common/wide.ts";
import code from "./adamw.wgsl" with { type: "text" };
import { hyperSize } from "./hyper.ts";

/** [w, g, m, v, clip, hyper] -> [w, g, m, v], in place; see `adamw`. */
export const adamwOp: Op<null> = {
  name: "adamw",
  updates: [0, 1, 2, 3],
  infer([w, g, m, v, clip, hyper]) {
    for (const t of [g!, m!, v!]) {
      if (count(t.shape) !== count(w!.shape)) {
        throw new Fail(`adamw: ${show(t)} does not belong to ${show(w!)}`);
      }
    }
    if (count(clip!.shape) !== 4 || count(hyper!.shape) !== hyperSize) {
      throw new Fail(
        `adamw: expected f32[4] and f32[${hyperSize}], found ${show(clip!)} and ${show(hyper!)}`,
      );
    }
    return [w!, g!, m!, v!];
  },
  reference([w, g, m, v, clip, hyper]) {
    const [scale, , finite] = clip!, [step, decay, gain1, gain2, eps, correction] = hyper!;
    const none = new Float64Array(g!.length);
    if (finite !== 1) return [w!.slice(), none, m!.slice(), v!.slice()];
    const mean = m!.map((old, i) => old + gain1! * (scale! * g![i]! - old));
    const square = v!.map((old, i) => old + gain2! * ((scale! * g![i]!) ** 2 - old));
    const moved = w!.map((old, i) =>
      old - decay! * old - step! * mean[i]! / (Math.sqrt(square[i]!) / correction! + eps!)
    );
    return [moved, none, mean, square];
  },
  launch({ inputs }) {
    const kernel = { file: "kernels/adamw/adamw.wgsl", code };
    return [elementwise(kernel, count(inputs[0]!.shape), inputs)];
  },
};

export interface Update {
  /** f32[n]: weights, gradients, first and second moments; all four change in place. */
  readonly w: Tensor;
  readonly g: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
  /** f32[4], from `clip` */
  readonly clip: Tensor;
  /** f32[hyperSize], filled by `hyper` before every step */
  readonly hyper: Tensor;
}

/**
 * One step of AdamW (Loshchilov and Hutter 2019; the arithmetic of torch.optim.AdamW) on clipped
 * gradients. Gradients are zero afterwards. Where the norm is not finite, weights and moments stay as
 * they are.
 * @throws Fail when sizes do not fit
 */
export function adamw(graph: Graph, { w, g, m, v, clip, hyper }: Update): void {
  graph.add(adamwOp, [w, g, m, v, clip, hyper], null);
}
