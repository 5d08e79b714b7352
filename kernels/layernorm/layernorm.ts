import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { columnSum } from "../column_sum/column_sum.ts";
import { blockRows, inBlocks, rowBlocks } from "../common/blocks.ts";
import { grid } from "../common/grid.ts";
import { onlyF32, type Storage, storedAs } from "../common/stored.ts";
import { summingRows } from "../common/sum.ts";
import codeDwb from "./layernorm_dwb.wgsl" with { type: "text" };
import codeDx from "./layernorm_dx.wgsl" with { type: "text" };
import code from "./layernorm.wgsl" with { type: "text" };

interface Attrs {
  readonly eps: number;
  /** How y is stored. */
  readonly out?: Storage;
}

/** [x, w, b] -> [y, stats[rows, 2]]; see `layernorm`. */
export const layernormOp: Op<Attrs> = {
  name: "layernorm",
  inPlace: () => [[0, 0]],
  light: true,
  infer([x, w, b], { out = "f32" }) {
    const C = x!.shape.at(-1)!;
    for (const t of [w!, b!]) {
      if (t.shape.length !== 1 || count(t.shape) !== C) {
        throw new Fail(`layernorm: ${show(t)} does not fit the last axis of ${show(x!)}`);
      }
    }
    onlyF32("layernorm", x!);
    return [{ shape: x!.shape, dtype: storedAs(out, C) }, {
      shape: [count(x!.shape) / C, 2],
      dtype: "f32",
    }];
  },
  reference([x, w, b], { eps }) {
    const C = w!.length, T = x!.length / C;
    const y = new Float64Array(x!.length), stats = new Float64Array(2 * T);
    for (let t = 0; t < T; t++) {
      const row = x!.subarray(t * C, (t + 1) * C);
      const mean = row.reduce((s, v) => s + v, 0) / C;
      const variance = row.reduce((s, v) => s + (v - mean) ** 2, 0) / C;
      const rstd = 1 / Math.sqrt(variance + eps);
      stats.set([mean, rstd], 2 * t);
      y.set(row.map((v, c) => (v - mean) * rstd * w![c]! + b![c]!), t * C);
    }
    return [y, stats];
  },
  launch({ inputs: [x, w, b], outputs: [y, stats], attrs: { eps } }, can) {
    const kernel = { file: "kernels/layernorm/layernorm.wgsl", code };
    return [{
      shader: summingRows(kernel, can, "vec2f", count(w!.shape), { EPS: eps }, y!.dtype),
      workgroups: grid(stats!.shape[0]!),
      bind: [x!, w!, b!, y!, stats!],
    }];
  },
  backward(g, { inputs: [x, w], outputs: [, stats], attrs }, [dy], wants) {
    const dx = wants[0] ? g.add(layernormDx, [dy!, x!, w!, stats!], attrs)[0] : undefined;
    if (!wants[1] && !wants[2]) return [dx];
    const [dw, db] = g.add(layernormDwb, [dy!, x!, stats!], null);
    return [dx, wants[1] && columnSum(g, dw!), wants[2] && columnSum(g, db!)]
      .map((gradient) => gradient || undefined);
  },
};

/** [dy, x, w, stats] -> [dx] */
export const layernormDx: Op<Attrs> = {
  name: "layernorm_dx",
  inPlace: () => [[0, 0], [0, 1]],
  infer: ([dy]) => [dy!],
  reference([dy, x, w, stats]) {
    const C = w!.length, dx = new Float64Array(x!.length);
    for (let t = 0; t < x!.length / C; t++) {
      const mean = stats![2 * t]!, rstd = stats![2 * t + 1]!;
      const h = w!.map((gain, c) => gain * dy![t * C + c]!);
      const xhat = w!.map((_, c) => (x![t * C + c]! - mean) * rstd);
      const plain = h.reduce((s, v) => s + v, 0) / C;
      const along = h.reduce((s, v, c) => s + v * xhat[c]!, 0) / C;
      dx.set(h.map((v, c) => rstd * (v - plain - xhat[c]! * along)), t * C);
    }
    return [dx];
  },
  launch({ inputs: [dy, x, w, stats], outputs: [dx] }, can) {
    const kernel = { file: "kernels/layernorm/layernorm_dx.wgsl", code: codeDx };
    return [{
      shader: summingRows(kernel, can, "vec2f", count(w!.shape)),
      workgroups: grid(stats!.shape[0]!),
      bind: [dy!, x!, w!, stats!, dx!],
    }];
  },
};

/** [dy, x, stats] -> [dw, db], each [blocks, C]: the parts of the gradients, one for each block of rows */
export const layernormDwb: Op<null> = {
  name: "layernorm_dwb",
  infer([dy, , stats]) {
    const shape = [rowBlocks(stats!.shape[0]!), dy!.shape.at(-1)!];
    return [{ shape, dtype: "f32" }, { shape, dtype: "f32" }];
  },
  reference([dy, x, stats], _attrs, { outputs: [part] }) {
    const C = part!.shape[1]!, ROWS = blockRows(stats!.length / 2);
    const dw = new Float64Array(count(part!.shape)), db = dw.slice();
    dy!.forEach((d, i) => {
      const t = Math.floor(i / C), to = Math.floor(t / ROWS) * C + i % C;
      dw[to]! += d * (x![i]! - stats![2 * t]!) * stats![2 * t + 1]!;
      db[to]! += d;
    });
    return [dw, db];
  },
  launch({ inputs: [dy, x, stats], outputs: [dw, db] }) {
    const kernel = { file: "kernels/layernorm/layernorm_dwb.wgsl", code: codeDwb };
    const T = stats!.shape[0]!, C = dw!.shape[1]!;
    return [inBlocks(kernel, { T, C }, [dy!, x!, stats!, dw!, db!])];
  },
};

/**
 * y = (x − mean) / sqrt(variance + eps) · w + b over the last axis of x[…, C], with w[C] and b[C] (Ba,
 * Kiros and Hinton 2016); the variance is the mean square, as in torch.nn.LayerNorm.
 * @param out how y is stored, where C is a multiple of 4; else f32
 * @throws Fail when w or b does not fit, or x is not f32
 */
export function layernorm(
  g: Graph,
  x: Tensor,
  w: Tensor,
  b: Tensor,
  eps: number,
  out: Storage = "f32",
): Tensor {
  return g.add(layernormOp, [x, w, b], { eps, out })[0]!;
}
