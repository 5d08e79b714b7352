import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import { wide } from "../common/wide.ts";
import code from "./scale_rows.wgsl" with { type: "text" };

/** [x f32[T,C], f f32[T]] -> [y]; see `scaleRows`. It serves backward passes and has none of its own. */
export const scaleRowsOp: Op<null> = {
  name: "scale_rows",
  inPlace: () => [[0, 0]],
  infer([x, f]) {
    if (x!.shape.length !== 2 || f!.shape[0] !== x!.shape[0]) {
      throw new Fail(
        `scale_rows: ${show(f!)} does not have one factor for each row of ${show(x!)}`,
      );
    }
    return [{ shape: x!.shape, dtype: "f32" }];
  },
  reference([x, f], _attrs, { inputs }) {
    const width = inputs[0]!.shape[1]!;
    return [x!.map((v, i) => v * f![Math.floor(i / width)]!)];
  },
  launch({ inputs: [x, f], outputs: [y] }) {
    const width = x!.shape[1]!, each = width % 4 === 0 ? 4 : 1;
    return [{
      shader: {
        kernel: { file: "kernels/scale_rows/scale_rows.wgsl", code },
        parts: [wide(width)],
        constants: { C: width / each },
      },
      workgroups: grid(Math.ceil(count(y!.shape) / each / 64)),
      bind: [x!, f!, y!],
    }];
  },
};

/** y[t,c] = x[t,c] · f[t] */
export const scaleRows = (g: Graph, x: Tensor, f: Tensor): Tensor =>
  g.add(scaleRowsOp, [x, f], null)[0]!;
