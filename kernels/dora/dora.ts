/**
 * The magnitude of DoRA (Liu et al. 2024) as PEFT computes it: rows of the adapted weight keep their
 * direction and take a learnt length, m[n] · (W + s·B·A)[n] / |(W + s·B·A)[n]|. The length that is divided
 * by counts as a constant in the derivative (section 4.3 of the paper).
 */
import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { columnSum } from "../column_sum/column_sum.ts";
import { blockRows, inBlocks, rowBlocks } from "../common/blocks.ts";
import { grid } from "../common/grid.ts";
import { floatBits, numbers } from "../common/numbers.ts";
import { rowRanges } from "../common/ranges.ts";
import { onlyF32 } from "../common/stored.ts";
import { summing } from "../common/sum.ts";
import { wide } from "../common/wide.ts";
import { rightLoader } from "../matmul/launch.ts";
import { matmul } from "../matmul/matmul.ts";
import magnitudeCode from "./magnitude.wgsl" with { type: "text" };
import gradientCode from "./magnitude_gradient.wgsl" with { type: "text" };
import normCode from "./row_norm.wgsl" with { type: "text" };

/** [W, B, A·Wᵀ, A·Aᵀ] -> [norm f32[N]]; see `rowNorm`. It has no derivative: DoRA wants none. */
export const rowNormOp: Op<{ readonly scale: number }> = {
  name: "dora_norm",
  infer([w, b, cross, gram]) {
    const N = w!.shape[0]!, R = b!.shape[1]!;
    const fits = [[b, [N, R]], [cross, [R, N]], [gram, [R, R]]] as const;
    for (const [t, shape] of fits) {
      if (String(t!.shape) !== String(shape)) {
        throw new Fail(`dora_norm: ${show(t!)} does not fit ${show(w!)}`);
      }
    }
    onlyF32("dora_norm", b!, cross!, gram!);
    return [{ shape: [N], dtype: "f32" }];
  },
  reference([w, b, cross, gram], { scale }, { inputs }) {
    const [N, K] = inputs[0]!.shape as [number, number], R = inputs[1]!.shape[1]!;
    return [Float64Array.from({ length: N }, (_, n) => {
      let sum = 0;
      for (let k = 0; k < K; k++) sum += w![n * K + k]! ** 2;
      for (let q = 0; q < R; q++) {
        let along = 0;
        for (let p = 0; p < R; p++) along += gram![q * R + p]! * b![n * R + p]!;
        sum += scale * b![n * R + q]! * (2 * cross![q * N + n]! + scale * along);
      }
      return Math.sqrt(Math.max(0, sum));
    })];
  },
  launch({ inputs: [w, b, cross, gram], outputs: [norm], attrs: { scale } }, can) {
    const [N, K] = w!.shape as [number, number], R = b!.shape[1]!;
    const kernel = { file: "kernels/dora/row_norm.wgsl", code: normCode };
    const lanes = can.software ? can.subgroupSize ?? 8 : 128;
    return rowRanges(w!, can).map(({ from, rows, bound }) => ({
      shader: summing({ kernel, parts: rightLoader(bound, K % 4 === 0) }, can, lanes, "f32"),
      workgroups: grid(rows),
      bind: [norm!, bound, b!, cross!, gram!, numbers(rows, K, from, N, R, floatBits(scale))],
    }));
  },
  flops: ({ inputs: [w] }) => 2 * count(w!.shape),
};

/**
 * norm f32[N]: the lengths of the rows of W + scale·B·A, without making it. W[N,K] is of any type that a
 * matmul reads, A f32[R,K], B f32[N,R]. Nothing learns through it.
 */
export function rowNorm(g: Graph, w: Tensor, a: Tensor, b: Tensor, scale: number): Tensor {
  const cross = matmul(g, a, w, { form: "nt" }), gram = matmul(g, a, a, { form: "nt" });
  return g.add(rowNormOp, [w, b, cross, gram], { scale })[0]!;
}

/** [x, m, norm, bias?] -> [y]; see `magnitude`. */
export const magnitudeOp: Op<{ readonly bias: boolean }> = {
  name: "dora_magnitude",
  inPlace: () => [[0, 0]],
  infer([x, ...vectors]) {
    for (const t of vectors) {
      if (String(t.shape) !== String(x!.shape.slice(1))) {
        throw new Fail(`dora_magnitude: ${show(t)} does not fit ${show(x!)}`);
      }
    }
    onlyF32("dora_magnitude", x!, ...vectors);
    return [{ shape: x!.shape, dtype: "f32" }];
  },
  reference([x, m, norm, bias]) {
    const C = m!.length, factor = m!.map((v, c) => norm![c] === 0 ? 0 : v / norm![c]!);
    return [x!.map((v, i) => v * factor[i % C]! + (bias?.[i % C] ?? 0))];
  },
  launch({ inputs: [x, m, norm, bias], outputs: [y] }) {
    const C = x!.shape[1]!, each = C % 4 === 0 ? 4 : 1;
    return [{
      shader: {
        kernel: { file: "kernels/dora/magnitude.wgsl", code: magnitudeCode },
        parts: [wide(C)],
        constants: { C: C / each, BIAS: bias ? 1 : 0 },
      },
      workgroups: grid(Math.ceil(count(y!.shape) / each / 64)),
      bind: [x!, m!, norm!, bias ?? m!, y!],
    }];
  },
  backward(g, { inputs: [x, m, norm], attrs }, [dy], wants) {
    return [
      wants[0] ? g.add(magnitudeOp, [dy!, m!, norm!], { bias: false })[0] : undefined,
      wants[1] ? columnSum(g, g.add(magnitudeGradientOp, [dy!, x!, norm!], null)[0]!) : undefined,
      undefined,
      ...(attrs.bias ? [wants[3] ? columnSum(g, dy!) : undefined] : []),
    ];
  },
};

/** [dy, x, norm] -> [part f32[B,C]], what sums to d / d m. It serves a backward pass and has none of its own. */
export const magnitudeGradientOp: Op<null> = {
  name: "dora_magnitude_gradient",
  infer([dy, x]) {
    onlyF32("dora_magnitude_gradient", dy!, x!);
    return [{ shape: [rowBlocks(x!.shape[0]!), x!.shape[1]!], dtype: "f32" }];
  },
  reference([dy, x, norm], _attrs, { outputs: [part] }) {
    const [B, C] = part!.shape as [number, number], T = x!.length / C;
    const sums = new Float64Array(B * C);
    x!.forEach((v, i) => {
      const c = i % C, block = Math.floor(Math.floor(i / C) / blockRows(T));
      if (norm![c] !== 0) sums[block * C + c]! += dy![i]! * v / norm![c]!;
    });
    return [sums];
  },
  launch({ inputs: [dy, x, norm], outputs: [part] }) {
    const [T, C] = x!.shape as [number, number];
    const kernel = { file: "kernels/dora/magnitude_gradient.wgsl", code: gradientCode };
    return [inBlocks(kernel, { T, C }, [dy!, x!, norm!, part!])];
  },
};

/**
 * y[T,N] = x · m / norm + bias, column by column, for x f32[T,N], the product of an input with the rows
 * whose lengths are in norm; 0 for rows of length 0. m and bias learn, norm does not.
 */
export function magnitude(g: Graph, x: Tensor, m: Tensor, norm: Tensor, bias?: Tensor): Tensor {
  const inputs = [x, m, norm, ...(bias ? [bias] : [])];
  return g.add(magnitudeOp, inputs, { bias: bias !== undefined })[0]!;
}
