import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import { onlyF32 } from "../common/stored.ts";
import { summingRows } from "../common/sum.ts";
import codeBackward from "./normalise_backward.wgsl" with { type: "text" };
import code from "./normalise.wgsl" with { type: "text" };

/** A shorter row is divided by this instead of by its norm, as torch does. */
const EPS = 1e-12;

/** How long the rows become. */
interface Attrs {
  readonly length: number;
}

/** [x f32[T,C]] -> [y, r[T]]; see `normalise`. */
export const normaliseOp: Op<Attrs> = {
  name: "normalise",
  inPlace: () => [[0, 0]],
  light: true,
  infer([x]) {
    onlyF32("normalise", x!);
    return [x!, { shape: [count(x!.shape) / x!.shape.at(-1)!], dtype: "f32" }];
  },
  reference([x], { length }, { inputs }) {
    const C = inputs[0]!.shape.at(-1)!;
    const r = Float64Array.from({ length: x!.length / C }, (_, t) => {
      const squares = x!.subarray(t * C, (t + 1) * C).reduce((s, v) => s + v * v, 0);
      return 1 / Math.max(Math.sqrt(squares), EPS);
    });
    return [x!.map((v, i) => length * v * r[Math.floor(i / C)]!), r];
  },
  launch({ inputs: [x], outputs: [y, r], attrs: { length } }, can) {
    const kernel = { file: "kernels/normalise/normalise.wgsl", code };
    const C = x!.shape.at(-1)!;
    return [{
      shader: summingRows(kernel, can, "f32", C, { LENGTH: length, EPS }),
      workgroups: grid(count(r!.shape)),
      bind: [x!, y!, r!],
    }];
  },
  backward: (g, { inputs: [x], outputs: [, r], attrs }, [dy]) =>
    g.add(normaliseBackward, [dy!, x!, r!], attrs),
};

/** [dy, x, r] -> [dx] */
export const normaliseBackward: Op<Attrs> = {
  name: "normalise_backward",
  inPlace: () => [[0, 0], [0, 1]],
  infer: ([dy]) => [dy!],
  reference([dy, x, r], { length }) {
    const C = x!.length / r!.length, dx = new Float64Array(x!.length);
    r!.forEach((f, t) => {
      let along = 0;
      for (let i = t * C; i < (t + 1) * C; i++) along += dy![i]! * x![i]! * f;
      if (f >= 1 / EPS) along = 0;
      for (let i = t * C; i < (t + 1) * C; i++) {
        dx[i] = length * f * (dy![i]! - x![i]! * f * along);
      }
    });
    return [dx];
  },
  launch({ inputs: [dy, x, r], outputs: [dx], attrs: { length } }, can) {
    const kernel = { file: "kernels/normalise/normalise_backward.wgsl", code: codeBackward };
    const C = x!.shape.at(-1)!;
    return [{
      shader: summingRows(kernel, can, "f32", C, { LENGTH: length, EPS }),
      workgroups: grid(count(r!.shape)),
      bind: [dy!, x!, r!, dx!],
    }];
  },
};

/** y f32[T, C]: the rows of x, each made `length` long (Euclidean); rows of zeros stay zeros. */
export const normalise = (g: Graph, x: Tensor, length = 1): Tensor =>
  g.add(normaliseOp, [x], { length })[0]!;
