import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { storage } from "../common/stored.ts";
import { elementwise } from "../common/wide.ts";
import codeBackward from "./silu_mul_backward.wgsl" with { type: "text" };
import code from "./silu_mul.wgsl" with { type: "text" };

const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));

/** [gate, up] -> [y]; see `siluMul`. */
export const siluMulOp: Op<null> = {
  name: "silu_mul",
  inPlace: () => [[0, 0], [0, 1]],
  light: true,
  infer([gate, up]) {
    if (String(gate!.shape) !== String(up!.shape)) {
      throw new Fail(`silu_mul: shapes differ: ${show(gate!)} and ${show(up!)}`);
    }
    return [{ shape: gate!.shape, dtype: storage("silu_mul", gate!, up!) }];
  },
  reference: ([gate, up]) => [gate!.map((a, i) => a * sigmoid(a) * up![i]!)],
  launch({ inputs: [gate, up], outputs: [y] }) {
    const kernel = { file: "kernels/silu_mul/silu_mul.wgsl", code };
    return [elementwise(kernel, count(y!.shape), [gate!, up!, y!], y!.dtype)];
  },
  backward: (g, { inputs: [gate, up] }, [dy]) => g.add(siluMulBackward, [dy!, gate!, up!], null),
};

/** [dy, gate, up] -> [dgate, dup]; gradients are f32, however the activations are stored. */
export const siluMulBackward: Op<null> = {
  name: "silu_mul_backward",
  inPlace: () => [[0, 1], [1, 2], [0, 0], [1, 0]],
  infer: ([dy]) => [dy!, dy!],
  reference([dy, gate, up]) {
    return [
      dy!.map((d, i) => {
        const a = gate![i]!, s = sigmoid(a);
        return d * up![i]! * s * (1 + a * (1 - s));
      }),
      dy!.map((d, i) => d * gate![i]! * sigmoid(gate![i]!)),
    ];
  },
  launch({ inputs: [dy, gate, up], outputs: [dgate, dup] }) {
    const kernel = { file: "kernels/silu_mul/silu_mul_backward.wgsl", code: codeBackward };
    return [elementwise(kernel, count(dy!.shape), [dy!, gate!, up!, dgate!, dup!], gate!.dtype)];
  },
};

/**
 * y = silu(gate) · up with silu(a) = a / (1 + exp(-a)); f32 or f16, equal shapes. The gated unit of Llama's
 * feed-forward layer (Shazeer 2020).
 * @throws Fail when the shapes differ
 */
export function siluMul(g: Graph, gate: Tensor, up: Tensor): Tensor {
  return g.add(siluMulOp, [gate, up], null)[0]!;
}
