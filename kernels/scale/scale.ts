import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { elementwise } from "../common/wide.ts";
import code from "./scale.wgsl" with { type: "text" };

/** [x, s f32[1]] -> [y]; see `scale`. The number itself has no gradient. */
export const scaleOp: Op<null> = {
  name: "scale",
  inPlace: () => [[0, 0]],
  infer([x, s]) {
    if (count(s!.shape) !== 1) throw new Fail(`scale: expected one number, found ${show(s!)}`);
    return [{ shape: x!.shape, dtype: "f32" }];
  },
  reference: ([x, s]) => [x!.map((v) => v * s![0]!)],
  launch({ inputs: [x, s], outputs: [y] }) {
    const kernel = { file: "kernels/scale/scale.wgsl", code };
    return [elementwise(kernel, count(y!.shape), [x!, s!, y!])];
  },
  backward: (g, { inputs: [, s] }, [dy]) => [scale(g, dy!, s!)],
};

/** y = x · s[0]; f32, any shape. Multiplying by the constant one records nothing. */
export const scale = (g: Graph, x: Tensor, s: Tensor): Tensor =>
  s.data?.[0] === 1 ? x : g.add(scaleOp, [x, s], null)[0]!;
