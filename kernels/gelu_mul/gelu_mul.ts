import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { storage } from "../common/stored.ts";
import { elementwise } from "../common/wide.ts";
import codeBackward from "./gelu_mul_backward.wgsl" with { type: "text" };
import code from "./gelu_mul.wgsl" with { type: "text" };

const K = Math.sqrt(2 / Math.PI), CUBIC = 0.044715;
const bend = (v: number) => Math.tanh(K * (v + CUBIC * v ** 3));
const gelu = (v: number) => 0.5 * v * (1 + bend(v));
function slope(v: number): number {
  const t = bend(v), rest = 1 - t * t; // exactly 0 far out, where v² would overflow
  return 0.5 * (1 + t + (rest && v * rest * K * (1 + 3 * CUBIC * v * v)));
}

/** [gate, up] -> [y]; see `geluMul`. */
export const geluMulOp: Op<null> = {
  name: "gelu_mul",
  inPlace: () => [[0, 0], [0, 1]],
  light: true,
  infer([gate, up]) {
    if (String(gate!.shape) !== String(up!.shape)) {
      throw new Fail(`gelu_mul: shapes differ: ${show(gate!)} and ${show(up!)}`);
    }
    return [{ shape: gate!.shape, dtype: storage("gelu_mul", gate!, up!) }];
  },
  reference: ([gate, up]) => [gate!.map((a, i) => gelu(a) * up![i]!)],
  launch({ inputs: [gate, up], outputs: [y] }) {
    const kernel = { file: "kernels/gelu_mul/gelu_mul.wgsl", code };
    return [elementwise(kernel, count(y!.shape), [gate!, up!, y!], y!.dtype)];
  },
  backward: (g, { inputs: [gate, up] }, [dy]) => g.add(geluMulBackward, [dy!, gate!, up!], null),
};

/** [dy, gate, up] -> [dgate, dup]; gradients are f32, however the activations are stored. */
export const geluMulBackward: Op<null> = {
  name: "gelu_mul_backward",
  inPlace: () => [[0, 1], [1, 2], [0, 0], [1, 0]],
  infer: ([dy]) => [dy!, dy!],
  reference: ([dy, gate, up]) => [
    dy!.map((d, i) => d * up![i]! * slope(gate![i]!)),
    dy!.map((d, i) => d * gelu(gate![i]!)),
  ],
  launch({ inputs: [dy, gate, up], outputs: [dgate, dup] }) {
    const kernel = { file: "kernels/gelu_mul/gelu_mul_backward.wgsl", code: codeBackward };
    return [elementwise(kernel, count(dy!.shape), [dy!, gate!, up!, dgate!, dup!], gate!.dtype)];
  },
};

/**
 * y = gelu(gate) · up with the tanh form of GELU (see `geluNew`); f32 or f16, equal shapes. The gated unit
 * of Gemma's feed-forward layer (Shazeer 2020).
 * @throws Fail when the shapes differ
 */
export function geluMul(g: Graph, gate: Tensor, up: Tensor): Tensor {
  return g.add(geluMulOp, [gate, up], null)[0]!;
}
