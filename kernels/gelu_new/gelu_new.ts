import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, type Tensor } from "../../src/graph/tensor.ts";
import { storage } from "../common/stored.ts";
import { elementwise } from "../common/wide.ts";
import codeBackward from "./gelu_new_backward.wgsl" with { type: "text" };
import code from "./gelu_new.wgsl" with { type: "text" };

const K = Math.sqrt(2 / Math.PI), CUBIC = 0.044715;
const inner = (v: number) => K * (v + CUBIC * v ** 3);

/** [x] -> [y]; see `geluNew`. */
export const geluNewOp: Op<null> = {
  name: "gelu_new",
  inPlace: () => [[0, 0]],
  light: true,
  infer: ([x]) => [{ shape: x!.shape, dtype: storage("gelu_new", x!) }],
  reference: ([x]) => [x!.map((v) => 0.5 * v * (1 + Math.tanh(inner(v))))],
  launch({ inputs: [x], outputs: [y] }) {
    const kernel = { file: "kernels/gelu_new/gelu_new.wgsl", code };
    return [elementwise(kernel, count(x!.shape), [x!, y!], x!.dtype)];
  },
  backward: (g, { inputs: [x] }, [dy]) => g.add(geluNewBackward, [dy!, x!], null),
};

/** [dy, x] -> [dx] */
export const geluNewBackward: Op<null> = {
  name: "gelu_new_backward",
  inPlace: () => [[0, 0], [0, 1]],
  infer: ([dy]) => [dy!],
  reference: ([dy, x]) => [
    dy!.map((d, i) => {
      const v = x![i]!, t = Math.tanh(inner(v));
      const slope = 1 - t * t; // exactly 0 far out, where v² would overflow
      return d * 0.5 * (1 + t + (slope && v * slope * K * (1 + 3 * CUBIC * v * v)));
    }),
  ],
  launch({ inputs: [dy, x], outputs: [dx] }) {
    const kernel = { file: "kernels/gelu_new/gelu_new_backward.wgsl", code: codeBackward };
    return [elementwise(kernel, count(x!.shape), [dy!, x!, dx!], x!.dtype)];
  },
};

/**
 * y = x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))), f32 or f16, any shape: the tanh form of GELU (Hendrycks and
 * Gimpel 2016), "gelu_new" and "gelu_pytorch_tanh" in model configurations.
 */
export function geluNew(g: Graph, x: Tensor): Tensor {
  return g.add(geluNewOp, [x], null)[0]!;
}
