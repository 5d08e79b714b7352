import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { show, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import { storage } from "../common/stored.ts";
import code from "./gather_rows.wgsl" with { type: "text" };

/** [x f32 or f16[T,C], map u32[S], inverse u32[T]] -> [y[S,C]], stored as x; see `gatherRows`. */
export const gatherRowsOp: Op<null> = {
  name: "gather_rows",
  infer([x, map, inverse]) {
    if (x!.shape.length !== 2 || inverse!.shape[0] !== x!.shape[0]) {
      throw new Fail(`gather_rows: ${show(inverse!)} does not name the rows of ${show(x!)}`);
    }
    return [{ shape: [map!.shape[0]!, x!.shape[1]!], dtype: storage("gather_rows", x!) }];
  },
  reference([x, map], _attrs, { inputs }) {
    const [rows, width] = inputs[0]!.shape as [number, number];
    const y = new Float64Array(map!.length * width);
    map!.forEach((from, s) => {
      if (from < rows) y.set(x!.subarray(from * width, (from + 1) * width), s * width);
    });
    return [y];
  },
  launch({ inputs: [x, map], outputs: [y] }) {
    const [rows, width] = x!.shape as [number, number];
    const words = x!.dtype === "f16" ? width / 2 : width, each = words % 4 === 0 ? 4 : 1;
    return [{
      shader: {
        kernel: { file: "kernels/gather_rows/gather_rows.wgsl", code },
        alias: { Words: each === 4 ? "vec4u" : "u32" },
        constants: { T: rows, C: words / each },
      },
      workgroups: grid(Math.ceil(y!.shape[0]! * words / each / 64)),
      bind: [x!, map!, y!],
    }];
  },
  backward: (g, { inputs: [, map, inverse] }, [dy]) => [
    g.add(gatherRowsOp, [dy!, inverse!, map!], null)[0],
    undefined,
    undefined,
  ],
};

/**
 * y[s] = x[map[s]], or zeros where map[s] ≥ T. `inverse` is the way back, inverse[map[s]] = s and
 * anything ≥ S for rows that are not taken; no row may be taken twice.
 * @throws Fail when `inverse` does not have one entry for each row of x
 */
export const gatherRows = (g: Graph, x: Tensor, map: Tensor, inverse: Tensor): Tensor =>
  g.add(gatherRowsOp, [x, map, inverse], null)[0]!;
