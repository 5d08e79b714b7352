import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { elementwise } from "../common/wide.ts";
import code from "./accumulate.wgsl" with { type: "text" };

export const accumulateOp: Op<null> = {
  name: "accumulate",
  updates: [0],
  infer([target, x]) {
    if (count(target!.shape) !== count(x!.shape) || target!.dtype !== "f32" || x!.dtype !== "f32") {
      throw new Fail(`accumulate: ${show(x!)} cannot be added to ${show(target!)}`);
    }
    return [target!];
  },
  reference: ([target, x]) => [target!.map((v, i) => v + x![i]!)],
  launch({ inputs: [target, x] }) {
    const kernel = { file: "kernels/accumulate/accumulate.wgsl", code };
    return [elementwise(kernel, count(x!.shape), [target!, x!])];
  },
};
/**
 * target += x, in place; f32, equal counts. `target` outlives the run: a gradient, a running loss.
 * @returns `target` after the update
 * @throws Fail when the two do not fit
 */
export function accumulate(g: Graph, target: Tensor, x: Tensor): Tensor {
  return g.add(accumulateOp, [target, x], null)[0]!;
}
