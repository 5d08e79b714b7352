import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import { storage, stored } from "../common/stored.ts";
import { wide } from "../common/wide.ts";
import codeBackward from "./pool_backward.wgsl" with { type: "text" };
import code from "./pool.wgsl" with { type: "text" };

/** [x f32 or f16[T,C], ranges u32[S,2], owner u32[T], factor f32[S]] -> [y f32[S,C]]; see `pool`. */
export const poolOp: Op<null> = {
  name: "pool",
  infer([x, ranges, owner, factor]) {
    const S = factor!.shape[0]!;
    if (
      x!.shape.length !== 2 || count(ranges!.shape) !== 2 * S || count(owner!.shape) !== x!.shape[0]
    ) {
      throw new Fail(
        `pool: ${show(ranges!)}, ${show(owner!)} and ${show(factor!)} do not fit ${show(x!)}`,
      );
    }
    storage("pool", x!);
    return [{ shape: [S, x!.shape[1]!], dtype: "f32" }];
  },
  reference([x, ranges, , factor], _attrs, { inputs }) {
    const C = inputs[0]!.shape[1]!, y = new Float64Array(factor!.length * C);
    factor!.forEach((f, s) => {
      for (let t = ranges![2 * s]!; t < ranges![2 * s + 1]!; t++) {
        for (let c = 0; c < C; c++) y[s * C + c]! += f * x![t * C + c]!;
      }
    });
    return [y];
  },
  launch({ inputs: [x, ranges, , factor], outputs: [y] }) {
    const C = y!.shape[1]!;
    return [{
      shader: {
        kernel: { file: "kernels/pool/pool.wgsl", code },
        parts: [wide(C), ...stored(x!.dtype)],
      },
      workgroups: grid(Math.ceil(count(y!.shape) / (C % 4 === 0 ? 256 : 64))),
      bind: [x!, ranges!, factor!, y!],
    }];
  },
  backward: (g, { inputs: [, , owner, factor] }, [dy]) => [
    g.add(poolBackward, [dy!, owner!, factor!], null)[0],
    undefined,
    undefined,
    undefined,
  ],
};

/** [dy, owner, factor] -> [dx f32[T,C]] */
export const poolBackward: Op<null> = {
  name: "pool_backward",
  infer: ([dy, owner]) => [{ shape: [owner!.shape[0]!, dy!.shape[1]!], dtype: "f32" }],
  reference([dy, owner, factor], _attrs, { inputs }) {
    const C = inputs[0]!.shape[1]!, dx = new Float64Array(owner!.length * C);
    owner!.forEach((s, t) => {
      for (let c = 0; c < C && s < factor!.length; c++) {
        dx[t * C + c] = factor![s]! * dy![s * C + c]!;
      }
    });
    return [dx];
  },
  launch({ inputs: [dy, owner, factor], outputs: [dx] }) {
    const C = dx!.shape[1]!;
    return [{
      shader: {
        kernel: { file: "kernels/pool/pool_backward.wgsl", code: codeBackward },
        parts: [wide(C)],
      },
      workgroups: grid(Math.ceil(count(dx!.shape) / (C % 4 === 0 ? 256 : 64))),
      bind: [dy!, owner!, factor!, dx!],
    }];
  },
};

export interface PoolInputs {
  /** u32[S, 2]: the rows [lo, hi) of each sum; no row may be in two. */
  readonly ranges: Tensor;
  /** u32[T]: the way back, which sum each row is in; S or more where in none. */
  readonly owner: Tensor;
  /** f32[S]: what each sum is multiplied with, 1/(hi - lo) for a mean. */
  readonly factor: Tensor;
}

/**
 * y f32[S, C]: sums over ranges of the rows of x f32 or f16[T, C], each times its factor: the mean of a
 * sequence, or its first or last token, as sentence embeddings take them (Reimers and Gurevych 2019).
 * @throws Fail when the inputs do not fit x
 */
export const pool = (g: Graph, x: Tensor, { ranges, owner, factor }: PoolInputs): Tensor =>
  g.add(poolOp, [x, ranges, owner, factor], null)[0]!;
