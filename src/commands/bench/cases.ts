import { adamwOp } from "../../../kernels/adamw/adamw.ts";
import { hyperSize } from "../../../kernels/adamw/hyper.ts";
import { add } from "../../../kernels/add/add.ts";
import { attentionBackward, attentionOp } from "../../../kernels/attention/attention.ts";
import { geluNewBackward, geluNewOp } from "../../../kernels/gelu_new/gelu_new.ts";
import { layernormDwb, layernormDx, layernormOp } from "../../../kernels/layernorm/layernorm.ts";
import { linearCrossEntropyOp } from "../../../kernels/linear_cross_entropy/linear_cross_entropy.ts";
import { type Form, matmulOp } from "../../../kernels/matmul/matmul.ts";
import { rmsnormDw, rmsnormDx, rmsnormOp } from "../../../kernels/rmsnorm/rmsnorm.ts";
import { siluMulBackward, siluMulOp } from "../../../kernels/silu_mul/silu_mul.ts";
import type { Op } from "../../graph/graph.ts";
import type { DType } from "../../graph/tensor.ts";
import { BENCH_GROUPS } from "../../settings/bench.ts";
import { type Layer, layers } from "./shapes.ts";
import type { Operand, Work } from "./timing.ts";

export type Group = (typeof BENCH_GROUPS)[number];

/** One measurement: an op as a training step or generation uses it. */
export interface BenchCase {
  readonly group: Group;
  /** "matmul nt nf4", "attention backward". */
  readonly name: string;
  /** "1024x1024x1024", "Phi-2 fc1 128x10240x2560". */
  readonly shape: string;
  readonly work: Work;
  /** Where the op does not count its arithmetic itself. */
  readonly flops?: number;
}

export interface Product {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly where?: string;
}

/** "1024x512x256" as M, N and K of a product; undefined where it is something else. */
export function parseProduct(text: string): Product | undefined {
  const sizes = /^(\d+)x(\d+)x(\d+)$/.exec(text)?.slice(1).map(Number);
  if (!sizes?.every((n) => n > 0 && n <= 2 ** 20)) return undefined;
  const [M, N, K] = sizes as [number, number, number];
  return { M, N, K };
}

/** Types of the fixed operand that each form takes. */
const stored: Record<Form, readonly DType[]> = {
  nt: ["f32", "f16", "bf16", "int8", "nf4", "nf4_double"],
  nn: ["f32", "f16", "bf16", "int8", "nf4", "nf4_double"],
  tn: ["f32"],
};

/**
 * y[M,N] in the three forms: forward x·Wᵀ; the gradient of the activations dy·W, where the sum runs over
 * the rows of W; the gradient of the weights dyᵀ·x.
 */
export function* products(
  { M, N, K, where }: Product,
  forms: readonly Form[] = ["nt", "nn", "tn"],
  types?: readonly DType[],
): Generator<BenchCase> {
  for (const form of forms) {
    for (const dtype of stored[form]) {
      if (types && !types.includes(dtype)) continue;
      const a = form === "tn" ? [K, M] : [M, K], b = form === "nt" ? [N, K] : [K, N];
      yield {
        group: "matmul",
        name: `matmul ${form} ${dtype}`,
        shape: `${where ? `${where} ` : ""}${M}x${N}x${K}`,
        work: work(matmulOp, { form, alpha: 1, bias: false, add: false }, [
          { shape: a },
          { shape: b, dtype },
        ]),
      };
    }
  }
}

/**
 * Every kernel of training at the sizes of real models.
 * @param software sizes and models that a processor gets through in a minute
 */
export function* allCases(software: boolean): Generator<BenchCase> {
  const tokens = software ? 128 : 2048, square = software ? 1024 : 4096;
  yield* products({ M: square, N: square, K: square });
  for (const layer of software ? layers.slice(0, 2) : layers) {
    const { model, width, inner } = layer;
    const up = { M: tokens, N: inner, K: width, where: `${model} up` };
    yield* products(up, ["nt"], software ? ["f16", "nf4"] : undefined);
    const back = { M: tokens, N: width, K: inner, where: `${model} up` };
    yield* products(back, ["nn"], software ? ["f16", "nf4"] : undefined);
    yield* products({ M: tokens, N: 16, K: width, where: `${model} LoRA A` }, ["nt"], ["f32"]);
    yield* products({ M: 16, N: width, K: tokens, where: `${model} LoRA A` }, ["tn"]);
    yield* products({ M: 1, N: inner, K: width, where: `${model} decode` }, ["nt"], ["f16", "nf4"]);
  }
  for (const layer of software ? layers.slice(0, 1) : layers) yield* attentionCases(layer, tokens);
  yield* smallCases(software ? layers[0]! : layers[1]!, tokens, software);
}

function* attentionCases(layer: Layer, T: number): Generator<BenchCase> {
  const { model, heads, kvHeads, headDim: D } = layer;
  const attrs = { heads, kvHeads, scale: 1 / Math.sqrt(D) };
  const q = { shape: [T, heads * D] },
    kv = { shape: [T, kvHeads * D] },
    lse = { shape: [T, heads] };
  const spans = { shape: [T, 2], dtype: "u32", data: pairs(T, (t) => [0, t + 1]) } as const;
  const reach = { shape: [T, 2], dtype: "u32", data: pairs(T, (s) => [s, T]) } as const;
  const shape = `${model} ${T} tokens, ${heads}/${kvHeads} heads of ${D}`;
  // Scores and their sum over values: two products of T x T / 2 for each head; five backward.
  const product = T * (T + 1) * heads * D;
  yield {
    group: "attention",
    name: "attention",
    shape,
    work: work(attentionOp, attrs, [q, kv, kv, spans]),
    flops: 2 * product,
  };
  yield {
    group: "attention",
    name: "attention backward",
    shape,
    work: work(attentionBackward, attrs, [q, q, kv, kv, q, lse, spans, reach]),
    flops: 5 * product,
  };
}

function* smallCases(layer: Layer, T: number, software: boolean): Generator<BenchCase> {
  const { model, width: C, inner, vocab } = layer;
  const x = { shape: [T, C] }, w = { shape: [C] }, h = { shape: [T, inner] };
  const each = (group: Group, name: string, rows: string, made: Work): BenchCase => ({
    group,
    name,
    shape: `${model} ${rows}`,
    work: made,
  });
  const eps = { eps: 1e-5 }, wide = `${T}x${C}`, tall = `${T}x${inner}`;
  const rstd = { shape: [T] }, stats = { shape: [T, 2] };
  yield each("norm", "rmsnorm", wide, work(rmsnormOp, eps, [x, w]));
  yield each("norm", "rmsnorm dx", wide, work(rmsnormDx, eps, [x, x, w, rstd]));
  yield each("norm", "rmsnorm dw", wide, work(rmsnormDw, null, [x, x, rstd]));
  yield each("norm", "layernorm", wide, work(layernormOp, eps, [x, w, w]));
  yield each("norm", "layernorm dx", wide, work(layernormDx, eps, [x, x, w, stats]));
  yield each("norm", "layernorm dw", wide, work(layernormDwb, null, [x, x, stats]));
  yield each("elementwise", "add", wide, work(add, null, [x, x]));
  yield each("elementwise", "silu mul", tall, work(siluMulOp, null, [h, h]));
  yield each("elementwise", "silu mul backward", tall, work(siluMulBackward, null, [h, h, h]));
  yield each("elementwise", "gelu", tall, work(geluNewOp, null, [h]));
  yield each("elementwise", "gelu backward", tall, work(geluNewBackward, null, [h, h]));
  const attrs = { chunk: 256, gradient: true, bias: false, trainsW: false, trainsBias: false };
  const rows = software ? 64 : T;
  yield each(
    "loss",
    "linear cross-entropy",
    `${rows}x${vocab}x${C} f16`,
    work(linearCrossEntropyOp, attrs, [
      { shape: [rows, C] },
      { shape: [vocab, C], dtype: "f16" },
      { shape: [rows], dtype: "u32" },
      { shape: [rows] },
    ]),
  );
  const n = software ? 2 ** 20 : 2 ** 24, page = { shape: [n] };
  yield each(
    "optimizer",
    "adamw",
    `${n} numbers`,
    work(adamwOp, null, [
      page,
      page,
      page,
      { shape: [n], data: new Float32Array(n).fill(0.01) },
      { shape: [4], data: Float32Array.of(1, 1, 1, 0) },
      { shape: [hyperSize], data: Float32Array.of(1e-4, 1e-6, 0.1, 0.001, 1e-8, 1, 1, 0) },
    ]),
  );
}

function pairs(n: number, of: (i: number) => readonly [number, number]): Uint32Array {
  return Uint32Array.from({ length: 2 * n }, (_, i) => of(i >> 1)[i & 1]!);
}

/** Forgets the type of the attributes: whoever measures passes them through. */
function work<A>(op: Op<A>, attrs: A, inputs: readonly Operand[]): Work {
  return { op, attrs, inputs } as unknown as Work;
}
