import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import { numbers } from "../common/numbers.ts";
import code from "./append.wgsl" with { type: "text" };

/** [parts f32[n]…] -> [y f32[Σ n]]; see `append`. */
export const appendOp: Op<null> = {
  name: "append",
  infer(parts) {
    if (parts.some(({ shape, dtype }) => shape.length !== 1 || dtype !== "f32")) {
      throw new Fail(`append: expected rows of f32, found ${parts.map(show).join(", ")}`);
    }
    return [{ shape: [parts.reduce((n, t) => n + count(t.shape), 0)], dtype: "f32" }];
  },
  reference: (parts) => [Float64Array.from(parts.flatMap((part) => [...part]))],
  launch({ inputs: parts, outputs: [y] }) {
    let at = 0;
    return parts.map((part) => {
      const from = at;
      at += count(part.shape);
      return {
        shader: { kernel: { file: "kernels/append/append.wgsl", code } },
        workgroups: grid(Math.ceil(count(part.shape) / 64)),
        bind: [part, numbers(from), y!],
      };
    });
  },
  backward() {
    throw new Fail("append: what is only logged has no gradient");
  },
};

/** y f32[Σ n]: the parts f32[n] one after the other. For numbers that are logged: no gradient. */
export const append = (g: Graph, parts: readonly Tensor[]): Tensor =>
  g.add(appendOp, parts, null)[0]!;
