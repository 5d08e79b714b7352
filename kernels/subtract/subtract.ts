import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { onlyF32 } from "../common/stored.ts";
import { elementwise } from "../common/wide.ts";
import { scale } from "../scale/scale.ts";
import code from "./subtract.wgsl" with { type: "text" };

/** [a, b] -> [y]; see `subtract`. */
export const subtractOp: Op<null> = {
  name: "subtract",
  inPlace: () => [[0, 0], [0, 1]],
  light: true,
  infer([a, b]) {
    if (String(a!.shape) !== String(b!.shape)) {
      throw new Fail(`subtract: shapes differ: ${show(a!)} and ${show(b!)}`);
    }
    onlyF32("subtract", a!, b!);
    return [{ shape: a!.shape, dtype: "f32" }];
  },
  reference: ([a, b]) => [a!.map((v, i) => v - b![i]!)],
  launch({ inputs: [a, b], outputs: [y] }) {
    const kernel = { file: "kernels/subtract/subtract.wgsl", code };
    return [elementwise(kernel, count(y!.shape), [a!, b!, y!])];
  },
  backward: (g, _node, [dy], wants) => [
    wants[0] ? dy : undefined,
    wants[1] ? scale(g, dy!, g.constant("minus one", [1], MINUS_ONE)) : undefined,
  ],
};

const MINUS_ONE = Float32Array.of(-1);

/** y = a - b; f32, any shape. */
export const subtract = (g: Graph, a: Tensor, b: Tensor): Tensor =>
  g.add(subtractOp, [a, b], null)[0]!;
