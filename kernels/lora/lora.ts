import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { columnSum } from "../column_sum/column_sum.ts";
import { type Storage, storedAs } from "../common/stored.ts";
import { type Dropout, dropout, dropoutOp } from "../dropout/dropout.ts";
import { matmul, matmulLaunch, matmulLaunches, matmulOp } from "../matmul/matmul.ts";

export interface LoraAttrs {
  /** What the adapter's product is multiplied with. */
  readonly scale: number;
  readonly bias: boolean;
  /** The adapter sees another input than the base. */
  readonly seen: boolean;
  /** What it sees is dropout of x: all of the gradient goes to x, in one sum. */
  readonly drop?: Dropout;
  /** How y is stored. */
  readonly out?: Storage;
}

/**
 * y[T,N] = x·Wᵀ + bias + scale·(seen·Aᵀ)·Bᵀ, a frozen linear layer with its low-rank adapter (Hu et al.
 * 2021), without a pass over y of its own: the adapter lengthens the K loop of the base product, and of
 * the gradient of x where x is what the adapter sees.
 *
 * [x, W, A, B, seen?, clock?, bias?] -> [y, u], with u f32[T,R] = scale·seen·Aᵀ on the way; x, seen and y
 * are f32 or f16.
 */
export const loraOp: Op<LoraAttrs> = {
  name: "lora",
  infer([x, w, a, b, ...rest], { seen, bias, out = "f32" }) {
    if (w!.needsGrad) throw new Error(`lora: ${show(w!)} learns itself, its adapter would not`);
    const [T, N] = [x!.shape[0]!, w!.shape[0]!], R = a!.shape[0]!;
    const u: Tensor = { ...x!, name: "u", shape: [T, R], dtype: "f32" };
    matmulOp.infer([seen ? rest[0]! : x!, a!], { form: "nt", alpha: 1, bias: false, add: false });
    matmulOp.infer([x!, w!, u, b!, ...(bias ? [rest.at(-1)!] : [])], {
      form: "nt",
      alpha: 1,
      bias,
      add: false,
      low: true,
    });
    return [{ shape: [T, N], dtype: storedAs(out, N) }, { shape: [T, R], dtype: "f32" }];
  },
  reference([x, w, a, b, ...rest], { scale, seen, bias }, { inputs }) {
    const [T, K] = inputs[0]!.shape as [number, number];
    const N = inputs[1]!.shape[0]!, R = inputs[2]!.shape[0]!;
    const from = seen ? rest[0]! : x!, added = bias ? rest.at(-1)! : undefined;
    const dot = (p: Float64Array, i: number, q: Float64Array, j: number, n: number) => {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += p[i * n + k]! * q[j * n + k]!;
      return sum;
    };
    const u = Float64Array.from(
      { length: T * R },
      (_, i) => scale * dot(from, Math.floor(i / R), a!, i % R, K),
    );
    const y = Float64Array.from({ length: T * N }, (_, i) => {
      const t = Math.floor(i / N), n = i % N;
      return dot(x!, t, w!, n, K) + dot(u, t, b!, n, R) + (added?.[n] ?? 0);
    });
    return [y, u];
  },
  flops({ inputs: [x, w, a, b] }) {
    return 2 * x!.shape[0]! * [w, a, b].reduce((sum, t) => sum + count(t!.shape), 0);
  },
  launch({ inputs: [x, w, a, b, ...rest], outputs: [y, u], attrs }, can) {
    const { scale, seen, bias } = attrs, from = seen ? rest[0]! : x!;
    return [
      matmulLaunch({ form: "nt", alpha: scale, a: from, b: a!, out: u! }, can),
      ...matmulLaunches({
        form: "nt",
        a: x!,
        b: w!,
        low: { left: u!, right: b! },
        bias: bias ? rest.at(-1) : undefined,
        out: y!,
      }, can),
    ];
  },
  backward(g, { inputs: [x, w, a, b, ...rest], attrs }, [dy], wants) {
    const { scale, seen, drop, bias } = attrs, from = seen ? rest[0]! : x!;
    const v = matmul(g, dy!, b!, { form: "nn", alpha: scale });
    // Made again: where a block is computed again, u must not call for all of y.
    const u = matmul(g, from, a!, { form: "nt", alpha: scale });
    const low = () => matmul(g, v, a!, { form: "nn" });
    const dropped = () => drop && g.add(dropoutOp, [low(), rest[1]!], drop)[0]!;
    const more = () => seen ? { add: dropped() } : { low: { left: v, right: a! } };
    // Those of the factors come first: what the adapter saw need not live beside the gradient of x.
    const da = wants[2] ? matmul(g, v, from, { form: "tn" }) : undefined;
    const db = wants[3] ? matmul(g, dy!, u, { form: "tn" }) : undefined;
    const gradients = [
      () => matmul(g, dy!, w!, { form: "nn", ...more() }),
      () => undefined,
      () => da,
      () => db,
      ...(seen ? [() => drop ? undefined : low()] : []),
      ...(drop ? [() => undefined] : []),
      ...(bias ? [() => columnSum(g, dy!)] : []),
    ];
    return gradients.map((gradient, i) => wants[i] ? gradient() : undefined);
  },
};

/**
 * See `loraOp`. W[N,K] may be of any type that a matmul reads, and gets no gradient. With `drop` the adapter
 * sees x after dropout, as PEFT has it.
 */
export function lora(
  g: Graph,
  { x, w, a, b, scale, drop, clock, bias, out }: {
    readonly x: Tensor;
    readonly w: Tensor;
    readonly a: Tensor;
    readonly b: Tensor;
    readonly scale: number;
    readonly drop?: Dropout;
    /** What masks are computed from, u32[2]; with `drop`. */
    readonly clock?: Tensor;
    readonly bias?: Tensor;
    readonly out?: Storage;
  },
): Tensor {
  const seen = drop && dropout(g, x, clock!, drop);
  const inputs = [x, w, a, b, seen, seen && clock, bias].filter((t) => t !== undefined);
  return g.add(loraOp, inputs, { scale, seen: !!seen, bias: !!bias, out, ...seen && { drop } })[0]!;
}
