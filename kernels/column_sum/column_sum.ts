import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { blockRows, inBlocks, rowBlocks } from "../common/blocks.ts";
import code from "./column_sum.wgsl" with { type: "text" };

const SHORT = 64; // rows that one lane adds alone; more are added in two stages

export interface ColumnSumAttrs {
  /** x² is summed. */
  readonly squares?: true;
}

/** [x] -> [sum[C]], and for many rows the sums of blocks of rows; see `columnSum`. */
export const columnSumOp: Op<ColumnSumAttrs> = {
  name: "column_sum",
  infer([x]) {
    const C = x!.shape.at(-1) ?? 0, T = count(x!.shape) / C;
    if (!(C > 0 && T > 0) || x!.dtype !== "f32") {
      throw new Fail(`column_sum: expected f32[T, C], found ${show(x!)}`);
    }
    const sum = { shape: [C], dtype: "f32" } as const;
    return T > SHORT ? [sum, { shape: [rowBlocks(T), C], dtype: "f32" }] : [sum];
  },
  reference([given], { squares }, { outputs: [sum, part] }) {
    const x = squares ? given!.map((v) => v * v) : given!;
    const C = count(sum!.shape), T = x.length / C, out = new Float64Array(C);
    x.forEach((v, i) => out[i % C]! += v);
    if (!part) return [out];
    const blocks = new Float64Array(count(part.shape));
    x.forEach((v, i) => blocks[Math.floor(Math.floor(i / C) / blockRows(T)) * C + i % C]! += v);
    return [out, blocks];
  },
  launch({ inputs: [x], outputs: [sum, part], attrs: { squares } }) {
    const SQUARES = squares ? 1 : 0;
    const kernel = { file: "kernels/column_sum/column_sum.wgsl", code };
    const C = count(sum!.shape), T = count(x!.shape) / C;
    if (!part) return [inBlocks(kernel, { T, C, ROWS: T }, [x!, sum!], { SQUARES })];
    const B = part.shape[0]!;
    return [
      inBlocks(kernel, { T, C }, [x!, part], { SQUARES }),
      inBlocks(kernel, { T: B, C, ROWS: B }, [part, sum!], { SQUARES: 0 }),
    ];
  },
};

/**
 * sum[C] of x[…, C] over all but its last axis, in a fixed order: the gradient of a bias.
 * @throws Fail when x is not f32 or has no elements
 */
export function columnSum(g: Graph, x: Tensor): Tensor {
  return g.add(columnSumOp, [x], {})[0]!;
}

/** sum[C] of the squares of x[…, C] in the same way: how large each column is. */
export function columnSquareSum(g: Graph, x: Tensor): Tensor {
  return g.add(columnSumOp, [x], { squares: true })[0]!;
}
