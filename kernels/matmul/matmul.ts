import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { type Storage, storedAs } from "../common/stored.ts";
import { columnSum } from "../column_sum/column_sum.ts";
import { type Form, matmulLaunch } from "./launch.ts";

export { type Form, matmulLaunch } from "./launch.ts";

export interface MatmulAttrs {
  readonly form: Form;
  readonly alpha: number;
  readonly bias: boolean;
  readonly add: boolean;
  /** How y is stored. */
  readonly out?: Storage;
}

/**
 * y[M,N] = alpha · op(a) · op(b) + bias[N] + add[M,N], sums in f32.
 * @param a f32 or f16
 * @param b f32 or f16; in forms nt and nn also bf16, int8 or nf4, which get no gradient
 * @param out how y is stored, where N is a multiple of 4; else f32
 */
export function matmul(
  g: Graph,
  a: Tensor,
  b: Tensor,
  o: { form: Form; alpha?: number; bias?: Tensor; add?: Tensor; out?: Storage },
): Tensor {
  const inputs = [a, b, o.bias, o.add].filter((t) => t !== undefined);
  const attrs = { form: o.form, alpha: o.alpha ?? 1, bias: !!o.bias, add: !!o.add, out: o.out };
  return g.add(matmulOp, inputs, attrs)[0]!;
}

/** M, N and K of a product, whatever its form. */
export function extents(
  form: Form,
  a: readonly number[],
  b: readonly number[],
): { M: number; N: number; K: number; kb: number } {
  const [M, K] = form === "tn" ? [a[1]!, a[0]!] : [a[0]!, a[1]!];
  const [N, kb] = form === "nt" ? [b[0]!, b[1]!] : [b[1]!, b[0]!];
  return { M, N, K, kb };
}

/** Inputs a, b, then bias and add where the attributes say so; see `matmul`. */
export const matmulOp: Op<MatmulAttrs> = {
  name: "matmul",
  inPlace: [[0, 2], [0, 3]], // what is added
  infer([a, b, ...rest], { form, bias, add, out = "f32" }) {
    const wrong = (what: string) => new Fail(`matmul ${form}: ${what}`);
    if (a!.shape.length !== 2 || b!.shape.length !== 2) {
      throw wrong(`two matrices are needed, found ${show(a!)} and ${show(b!)}`);
    }
    const { M, N, K, kb } = extents(form, a!.shape, b!.shape);
    if (K !== kb) throw wrong(`the inner sizes of ${show(a!)} and ${show(b!)} differ`);
    const activations = form === "tn" ? [a!, b!] : [a!];
    if (activations.some((t) => t.dtype !== "f32" && t.dtype !== "f16") || b!.dtype === "u32") {
      throw wrong(`has no kernel for ${show(a!)} and ${show(b!)}`);
    }
    const shapes = [...(bias ? [[N]] : []), ...(add ? [[M, N]] : [])];
    shapes.forEach((shape, i) => {
      const t = rest[i]!;
      if (String(t.shape) !== String(shape) || t.dtype !== "f32") {
        throw wrong(`${show(t)} cannot be added to a result of f32[${M}, ${N}]`);
      }
    });
    return [{ shape: [M, N], dtype: storedAs(out, N) }];
  },
  reference([a, b, ...rest], { form, alpha, bias, add }, { inputs }) {
    const { M, N, K } = extents(form, inputs[0]!.shape, inputs[1]!.shape);
    const [am, ak] = form === "tn" ? [1, M] : [K, 1];
    const [bn, bk] = form === "nt" ? [K, 1] : [1, N];
    const y = new Float64Array(M * N);
    for (let m = 0; m < M; m++) {
      for (let n = 0; n < N; n++) {
        let sum = 0;
        for (let k = 0; k < K; k++) sum += a![m * am + k * ak]! * b![n * bn + k * bk]!;
        y[m * N + n] = alpha * sum + (bias ? rest[0]![n]! : 0) +
          (add ? rest.at(-1)![m * N + n]! : 0);
      }
    }
    return [y];
  },
  flops({ inputs: [a], outputs: [y], attrs: { form } }) {
    return 2 * count(y!.shape) * a!.shape[form === "tn" ? 0 : 1]!;
  },
  launch({ inputs: [a, b, ...rest], outputs: [out], attrs: { form, alpha, bias, add } }, can) {
    return [matmulLaunch({
      form,
      alpha,
      a: a!,
      b: b!,
      out: out!,
      bias: bias ? rest[0] : undefined,
      add: add ? rest.at(-1) : undefined,
    }, can)];
  },
  backward(g, { inputs: [a, b], attrs: { form, alpha, bias, add } }, [dy], wants) {
    const product = (x: Tensor, y: Tensor, form: Form) => matmul(g, x, y, { form, alpha });
    const da = () =>
      form === "nt"
        ? product(dy!, b!, "nn")
        : form === "nn"
        ? product(dy!, b!, "nt")
        : product(b!, dy!, "nt");
    const db = () =>
      form === "nt"
        ? product(dy!, a!, "tn")
        : form === "nn"
        ? product(a!, dy!, "tn")
        : product(a!, dy!, "nn");
    const rest = [...(bias ? [() => columnSum(g, dy!)] : []), ...(add ? [() => dy] : [])];
    return [da, db, ...rest].map((gradient, i) => wants[i] ? gradient() : undefined);
  },
};
