import { type Case, checkKernel, noise } from "../check.ts";
import { count, type DType } from "../../src/graph/tensor.ts";
import { type Form, type MatmulAttrs, matmulOp } from "./matmul.ts";

/** Around every size that a tile, a block or a vector has. */
export const sizes = [1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 257];

/** Sizes that every variant takes. */
export const aligned = [4, 8, 12, 16, 20, 36, 64, 68, 132];

export interface MatmulCase {
  readonly form: Form;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly dtype?: DType;
  readonly bias?: boolean;
  readonly add?: boolean;
  /** How a is stored. */
  readonly left?: "f16";
  readonly out?: "f16";
  /** Rank of factors that are added in the same sums. */
  readonly low?: number;
}

const absolute = (data: ArrayLike<number>) => Float64Array.from(data, Math.abs);

export function matmulCase(
  { form, M, N, K, dtype = "f32", bias = false, add = false, left, out, low }: MatmulCase,
): Case<MatmulAttrs> {
  const next = noise(M * 1e6 + N * 1e3 + K);
  const operand = (shape: number[], dtype: DType = "f32") => ({
    shape,
    dtype,
    data: Float64Array.from({ length: count(shape) }, next),
  });
  return {
    op: matmulOp,
    attrs: { form, alpha: low ? 1 : -0.75, bias, add, out, ...low && { low: true } },
    inputs: [
      operand(form === "tn" ? [K, M] : [M, K], left),
      operand(form === "nt" ? [N, K] : [K, N], dtype),
      ...(low ? [operand([M, low]), operand(form === "nt" ? [N, low] : [low, N])] : []),
      ...(bias ? [operand([N])] : []),
      ...(add ? [operand([M, N])] : []),
    ],
  };
}

/** |error| of a sum of K products: (2√K + 8) 2⁻²⁴ Σ|a·b|; 1.02 for the operands' own rounding to 16 bits. */
export function bound(c: Case<MatmulAttrs>): (o: number, i: number) => number {
  const given = c.inputs.map(({ data }) => absolute(data!));
  const attrs = { ...c.attrs, alpha: Math.abs(c.attrs.alpha) };
  const node = { op: matmulOp, inputs: c.inputs, outputs: [], attrs } as never;
  const magnitude = matmulOp.reference(given, attrs, node)[0]!;
  const [rows, cols] = c.inputs[0]!.shape as [number, number];
  const K = (c.attrs.form === "tn" ? rows : cols) + (c.attrs.low ? c.inputs[2]!.shape[1]! : 0);
  return (_o, i) => 1.02 * (2 * Math.sqrt(K) + 8) * 2 ** -24 * magnitude[i]!;
}

export async function checkMatmul(c: MatmulCase): Promise<void> {
  const made = matmulCase(c);
  await checkKernel(made, { bound: bound(made) });
}
