import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { show, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import { storage } from "../common/stored.ts";
import code from "./cache_write.wgsl" with { type: "text" };

/**
 * cache[rows[t]] = x[t]; inputs [cache[S,C], x[T,C], rows u32[T]], the first two both f32 or both f16. Rows outside the cache are
 * dropped; no two tokens may name one row.
 */
export const cacheWriteOp: Op<null> = {
  name: "cache_write",
  updates: [0],
  infer([cache, x, rows]) {
    if (cache!.shape[1] !== x!.shape[1] || rows!.shape[0] !== x!.shape[0]) {
      throw new Fail(`cache_write: ${show(x!)} at ${show(rows!)} does not fit ${show(cache!)}`);
    }
    storage("cache_write", cache!, x!);
    return [cache!];
  },
  reference([cache, x, rows], _attrs, { inputs }) {
    const [size, width] = inputs[0]!.shape as [number, number], after = cache!.slice();
    rows!.forEach((row, t) => {
      if (row < size) after.set(x!.subarray(t * width, (t + 1) * width), row * width);
    });
    return [after];
  },
  launch({ inputs: [cache, x, rows] }) {
    const words = x!.dtype === "f16" ? x!.shape[1]! / 2 : x!.shape[1]!, n = x!.shape[0]! * words;
    return [{
      shader: {
        kernel: { file: "kernels/cache_write/cache_write.wgsl", code },
        constants: { N: n, C: words, S: cache!.shape[0]! },
      },
      workgroups: grid(Math.ceil(n / 64)),
      bind: [x!, rows!, cache!],
    }];
  },
};

/** The cache after rows of `x` were written into it; reading it orders the read after the write. */
export const cacheWrite = (g: Graph, cache: Tensor, x: Tensor, rows: Tensor): Tensor =>
  g.add(cacheWriteOp, [cache, x, rows], null)[0]!;
