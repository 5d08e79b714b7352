import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { columnSum } from "../column_sum/column_sum.ts";
import { blockRows, inBlocks, rowBlocks } from "../common/blocks.ts";
import { grid } from "../common/grid.ts";
import { onlyF32, type Storage, storedAs } from "../common/stored.ts";
import { summingRows } from "../common/sum.ts";
import codeDw from "./rmsnorm_dw.wgsl" with { type: "text" };
import codeDx from "./rmsnorm_dx.wgsl" with { type: "text" };
import code from "./rmsnorm.wgsl" with { type: "text" };

interface Attrs {
  readonly eps: number;
  /** The weights hold gain - 1, as Gemma's do. */
  readonly plusOne?: boolean;
  /** How y is stored. */
  readonly out?: Storage;
}

/** [x, w] -> [y, rstd[rows]]; see `rmsnorm`. */
export const rmsnormOp: Op<Attrs> = {
  name: "rmsnorm",
  inPlace: () => [[0, 0]],
  light: true,
  infer([x, w], { out = "f32" }) {
    const C = count(w!.shape);
    if (w!.shape.length !== 1 || x!.shape.at(-1)! % C !== 0) {
      throw new Fail(`rmsnorm: ${show(w!)} does not divide the last axis of ${show(x!)}`);
    }
    onlyF32("rmsnorm", x!);
    return [{ shape: x!.shape, dtype: storedAs(out, C) }, {
      shape: [count(x!.shape) / C],
      dtype: "f32",
    }];
  },
  reference([x, w], { eps, plusOne }) {
    const C = w!.length, shift = plusOne ? 1 : 0;
    const rstd = Float64Array.from({ length: x!.length / C }, (_, t) => {
      const squares = x!.subarray(t * C, (t + 1) * C).reduce((s, v) => s + v * v, 0);
      return 1 / Math.sqrt(squares / C + eps);
    });
    return [x!.map((v, i) => v * rstd[Math.floor(i / C)]! * (w![i % C]! + shift)), rstd];
  },
  launch({ inputs: [x, w], outputs: [y, rstd], attrs: { eps, plusOne } }, can) {
    const kernel = { file: "kernels/rmsnorm/rmsnorm.wgsl", code };
    const constants = { EPS: eps, SHIFT: plusOne ? 1 : 0 };
    return [{
      shader: summingRows(kernel, can, "f32", count(w!.shape), constants, y!.dtype),
      workgroups: grid(count(rstd!.shape)),
      bind: [x!, w!, y!, rstd!],
    }];
  },
  backward(g, { inputs: [x, w], outputs: [, rstd], attrs }, [dy], wants) {
    return [
      wants[0] ? g.add(rmsnormDx, [dy!, x!, w!, rstd!], attrs)[0] : undefined,
      wants[1] ? columnSum(g, g.add(rmsnormDw, [dy!, x!, rstd!], null)[0]!) : undefined,
    ];
  },
};

/** [dy, x, w, rstd] -> [dx] */
export const rmsnormDx: Op<Attrs> = {
  name: "rmsnorm_dx",
  inPlace: () => [[0, 0], [0, 1]],
  infer: ([dy]) => [dy!],
  reference([dy, x, w, rstd], { plusOne }) {
    const C = w!.length, shift = plusOne ? 1 : 0, dx = new Float64Array(x!.length);
    rstd!.forEach((r, t) => {
      const at = (c: number) => t * C + c;
      let mean = 0;
      for (let c = 0; c < C; c++) mean += dy![at(c)]! * (w![c]! + shift) * x![at(c)]! * r / C;
      for (let c = 0; c < C; c++) {
        dx[at(c)] = r * (dy![at(c)]! * (w![c]! + shift) - x![at(c)]! * r * mean);
      }
    });
    return [dx];
  },
  launch({ inputs: [dy, x, w, rstd], outputs: [dx], attrs: { plusOne } }, can) {
    const kernel = { file: "kernels/rmsnorm/rmsnorm_dx.wgsl", code: codeDx };
    return [{
      shader: summingRows(kernel, can, "f32", count(w!.shape), { SHIFT: plusOne ? 1 : 0 }),
      workgroups: grid(count(rstd!.shape)),
      bind: [dy!, x!, w!, rstd!, dx!],
    }];
  },
};

/** [dy, x, rstd] -> [part[blocks, C]]: the parts of dw, one for each block of rows */
export const rmsnormDw: Op<null> = {
  name: "rmsnorm_dw",
  infer([dy, , rstd]) {
    const T = count(rstd!.shape);
    return [{ shape: [rowBlocks(T), count(dy!.shape) / T], dtype: "f32" }];
  },
  reference([dy, x, rstd], _attrs, { outputs: [part] }) {
    const [B, C] = part!.shape, T = rstd!.length, out = new Float64Array(B! * C!);
    dy!.forEach((d, i) => {
      const t = Math.floor(i / C!), b = Math.floor(t / blockRows(T));
      out[b * C! + i % C!]! += d * x![i]! * rstd![t]!;
    });
    return [out];
  },
  launch({ inputs: [dy, x, rstd], outputs: [part] }) {
    const kernel = { file: "kernels/rmsnorm/rmsnorm_dw.wgsl", code: codeDw };
    const T = count(rstd!.shape), C = part!.shape[1]!;
    return [inBlocks(kernel, { T, C }, [dy!, x!, rstd!, part!])];
  },
};

/**
 * y = x · rstd · w with rstd = 1/sqrt(mean(x²) + eps) (Zhang and Sennrich 2019). The mean runs over
 * groups of w[C] along the last axis of x, so that x[T, H·C] is normalised head by head.
 * @param plusOne w holds gain - 1, as Gemma's checkpoints do
 * @param out how y is stored, where C is a multiple of 4; else f32
 * @throws Fail when C does not divide the last axis, or x is not f32
 */
export function rmsnorm(
  g: Graph,
  x: Tensor,
  w: Tensor,
  eps: number,
  { plusOne = false, out = "f32" }: Omit<Attrs, "eps"> = {},
): Tensor {
  return g.add(rmsnormOp, [x, w], { eps, plusOne, out })[0]!;
}
