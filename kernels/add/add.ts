import { Fail } from "../../src/base/fail.ts";
import type { Op } from "../../src/graph/graph.ts";
import { count, show } from "../../src/graph/tensor.ts";
import { onlyF32 } from "../common/stored.ts";
import { elementwise } from "../common/wide.ts";
import code from "./add.wgsl" with { type: "text" };

/** y = a + b, element by element; f32, equal shapes. */
export const add: Op<null> = {
  name: "add",
  inPlace: () => [[0, 0], [0, 1]],
  infer([a, b]) {
    if (String(a!.shape) !== String(b!.shape)) {
      throw new Fail(`add: shapes differ: ${show(a!)} and ${show(b!)}`);
    }
    onlyF32("add", a!, b!);
    return [{ shape: a!.shape, dtype: "f32" }];
  },
  reference: ([a, b]) => [a!.map((v, i) => v + b![i]!)],
  launch({ inputs, outputs }) {
    const kernel = { file: "kernels/add/add.wgsl", code };
    return [elementwise(kernel, count(outputs[0]!.shape), [...inputs, outputs[0]!])];
  },
  backward: (_g, _node, [dy]) => [dy, dy],
};
