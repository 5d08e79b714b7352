import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { type Storage, storedAs } from "../common/stored.ts";
import { columnSum } from "../column_sum/column_sum.ts";
import { type Form, matmulLaunches } from "./launch.ts";

export { type Form, matmulLaunch, matmulLaunches } from "./launch.ts";

export interface MatmulAttrs {
  readonly form: Form;
  readonly alpha: number;
  readonly bias: boolean;
  readonly add: boolean;
  /** A product of two low-rank factors is added in the same sums. */
  readonly low?: true;
  /** How y is stored. */
  readonly out?: Storage;
}

/**
 * y[M,N] = alpha · op(a) · op(b) + low · op(up) + bias[N] + add[M,N], sums in f32, those of low and up
 * first: they are small, and small numbers added to large ones lose more.
 * @param a f32 or f16
 * @param b f32 or f16; in forms nt and nn also bf16, int8, nf4, nf4_double or blocks of GGUF, which get
 *   no gradient
 * @param o.low f32[M,R] and up, stored as b is with R for K; in forms nt and nn, with alpha 1 and no add
 * @param o.out how y is stored, where N is a multiple of 4; else f32
 */
export function matmul(
  g: Graph,
  a: Tensor,
  b: Tensor,
  o: {
    form: Form;
    alpha?: number;
    low?: { readonly left: Tensor; readonly right: Tensor };
    bias?: Tensor;
    add?: Tensor;
    out?: Storage;
  },
): Tensor {
  const { form, alpha = 1, low, bias, add, out } = o;
  const inputs = [a, b, low?.left, low?.right, bias, add].filter((t) => t !== undefined);
  const attrs: MatmulAttrs = {
    form,
    alpha,
    bias: !!bias,
    add: !!add,
    out,
    ...low && { low: true },
  };
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

/** Inputs a, b, then low, up, bias and add where the attributes say so; see `matmul`. */
export const matmulOp: Op<MatmulAttrs> = {
  name: "matmul",
  inPlace: ({ bias, add }) => add ? [[0, bias ? 3 : 2]] : [],
  infer([a, b, ...rest], { form, alpha, bias, add, low, out = "f32" }) {
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
    const R = rest[0]?.shape.at(-1) ?? 0;
    const factors = low ? [[M, R], form === "nt" ? [N, R] : [R, N]] : [];
    if (low && (form === "tn" || alpha !== 1 || add)) {
      throw wrong("low-rank factors go with alpha 1 and without add");
    }
    const shapes = [...factors, ...(bias ? [[N]] : []), ...(add ? [[M, N]] : [])];
    shapes.forEach((shape, i) => {
      const t = rest[i]!;
      if (String(t.shape) !== String(shape) || t.dtype !== "f32") {
        throw wrong(`${show(t)} cannot be added to a result of f32[${M}, ${N}]`);
      }
    });
    return [{ shape: [M, N], dtype: storedAs(out, N) }];
  },
  reference([a, b, ...rest], { form, alpha, bias, add, low }, { inputs }) {
    const { M, N, K } = extents(form, inputs[0]!.shape, inputs[1]!.shape);
    const [am, ak] = form === "tn" ? [1, M] : [K, 1];
    const [bn, bk] = form === "nt" ? [K, 1] : [1, N];
    const R = low ? inputs[2]!.shape[1]! : 0, [un, uk] = form === "nt" ? [R, 1] : [1, N];
    const [u, up] = low ? rest.splice(0, 2) : [];
    const y = new Float64Array(M * N);
    for (let m = 0; m < M; m++) {
      for (let n = 0; n < N; n++) {
        let sum = 0;
        for (let k = 0; k < K; k++) sum += a![m * am + k * ak]! * b![n * bn + k * bk]!;
        for (let k = 0; k < R; k++) sum += u![m * R + k]! * up![n * un + k * uk]!;
        y[m * N + n] = alpha * sum + (bias ? rest[0]![n]! : 0) +
          (add ? rest.at(-1)![m * N + n]! : 0);
      }
    }
    return [y];
  },
  flops({ inputs: [a, , u], outputs: [y], attrs: { form, low } }) {
    const K = a!.shape[form === "tn" ? 0 : 1]! + (low ? u!.shape[1]! : 0);
    return 2 * count(y!.shape) * K;
  },
  launch({ inputs: [a, b, ...rest], outputs: [out], attrs }, can) {
    const { form, alpha, bias, add, low } = attrs;
    const [left, right] = low ? rest.splice(0, 2) : [];
    return matmulLaunches({
      form,
      alpha,
      a: a!,
      b: b!,
      out: out!,
      bias: bias ? rest[0] : undefined,
      add: add ? rest.at(-1) : undefined,
      low: low && { left: left!, right: right! },
    }, can);
  },
  backward(g, { inputs: [a, b, left, right], attrs }, [dy], wants) {
    const { form, alpha, bias, add, low } = attrs;
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
    const factors = [
      () => product(dy!, right!, form === "nt" ? "nn" : "nt"),
      () => form === "nt" ? product(dy!, left!, "tn") : product(left!, dy!, "tn"),
    ];
    const rest = [
      ...(low ? factors : []),
      ...(bias ? [() => columnSum(g, dy!)] : []),
      ...(add ? [() => dy] : []),
    ];
    return [da, db, ...rest].map((gradient, i) => wants[i] ? gradient() : undefined);
  },
};
