import { Exit, Fail } from "../../src/base/fail.ts";
import type { Graph, Launch, Op } from "../../src/graph/graph.ts";
import {
  count,
  type Shape,
  show,
  type Spec,
  type Tensor,
  type View,
} from "../../src/graph/tensor.ts";
import { add } from "../add/add.ts";
import { capped, capping, slope } from "../common/cap.ts";
import tree from "../common/sum_tree.wgsl" with { type: "text" };
import { matmulLaunch, matmulLaunches } from "../matmul/matmul.ts";
import { scale } from "../scale/scale.ts";
import { scaleRows } from "../scale_rows/scale_rows.ts";
import rowsCode from "./cross_entropy.wgsl" with { type: "text" };
import vec1 from "./row_vec1.wgsl" with { type: "text" };
import vec4 from "./row_vec4.wgsl" with { type: "text" };
import sumCode from "./weighted_sum.wgsl" with { type: "text" };

export interface CrossEntropyAttrs {
  /** Rows whose logits exist at one time; a multiple of 64, so that every chunk can be bound. */
  readonly chunk: number;
  /** Compute d loss / d h on the way: the logits are at hand then and never again. */
  readonly gradient: boolean;
  readonly bias: boolean;
  /** The projection learns: dw is made too, and every gradient has `weights` in it. */
  readonly trainsW: boolean;
  readonly trainsBias: boolean;
  /** Logits z become cap · tanh(z / cap), as in Gemma 2. */
  readonly cap?: number;
  /** Share of the target probability that is spread evenly over all of the vocabulary. */
  readonly smoothing: number;
  /** The gradient is made in the backward pass, of the logits once more. */
  readonly later?: boolean;
}

/** Which output is which; those that `attrs` does not ask for are absent. */
function layout(attrs: CrossEntropyAttrs) {
  let next = 5;
  const dh = attrs.gradient ? next++ : undefined;
  const dw = attrs.gradient && attrs.trainsW ? next++ : undefined;
  const dbias = attrs.gradient && attrs.trainsBias ? next++ : undefined;
  return { loss: 0, nll: 1, argmax: 2, means: 3, logits: 4, dh, dw, dbias };
}

const row1 = { file: "kernels/linear_cross_entropy/row_vec1.wgsl", code: vec1 };
const row4 = { file: "kernels/linear_cross_entropy/row_vec4.wgsl", code: vec4 };

const weighted = (attrs: CrossEntropyAttrs) => attrs.trainsW || attrs.trainsBias;

/** [h, w, labels, weights, bias?, ones?] -> see `layout`; the meaning is at `linearCrossEntropy`. */
export const linearCrossEntropyOp: Op<CrossEntropyAttrs> = {
  name: "linear_cross_entropy",
  infer([h, w, labels, weights, bias], attrs) {
    const [S, C] = h!.shape as [number, number], [V, width] = w!.shape as [number, number];
    if (width !== C) throw new Fail(`linear_cross_entropy: ${show(h!)} does not fit ${show(w!)}`);
    if (labels!.shape[0] !== S || weights!.shape[0] !== S) {
      throw new Fail(
        `linear_cross_entropy: ${show(labels!)} and ${show(weights!)} need ${S} entries`,
      );
    }
    const f32 = (...shape: number[]): Spec => ({ shape, dtype: "f32" });
    const outputs = [
      f32(1),
      f32(S),
      { shape: [S], dtype: "u32" } as Spec,
      f32(S),
      f32(Math.min(attrs.chunk, S), V),
    ];
    const { dh, dw, dbias } = layout(attrs);
    if (dh !== undefined) outputs.push(f32(S, C));
    if (dw !== undefined) outputs.push(f32(V, C));
    if (dbias !== undefined) outputs.push(f32(count(bias!.shape)));
    return outputs;
  },

  reference([h, w, labels, weights, bias], attrs, { inputs, outputs }) {
    const [S, C] = inputs[0]!.shape as [number, number], V = inputs[1]!.shape[0]!;
    const made = outputs.map((t) => new Float64Array(count(t.shape)));
    const { dh, dw, dbias } = layout(attrs);
    for (let s = 0; s < S; s++) {
      const z = Float64Array.from({ length: V }, (_, v) => {
        let sum = attrs.bias ? bias![v]! : 0;
        for (let c = 0; c < C; c++) sum += h![s * C + c]! * w![v * C + c]!;
        return capped(sum, attrs.cap);
      });
      const top = z.reduce((a, b) => Math.max(a, b));
      const sum = z.reduce((a, b) => a + Math.exp(b - top), 0), label = labels![s]!;
      made[2]![s] = z.indexOf(top);
      made[3]![s] = z.reduce((a, b) => a + b, 0) / V;
      if (label >= V) continue;
      const e = attrs.smoothing, mean = z.reduce((a, b) => a + (b - top), 0) / V;
      made[1]![s] = Math.log(sum) - (1 - e) * (z[label]! - top) - e * mean;
      made[0]![0]! += weights![s]! * made[1]![s]!;
      if (dh === undefined) continue;
      const f = weighted(attrs) ? weights![s]! : 1;
      for (let v = 0; v < V; v++) {
        const soft = (v === label ? 1 - e : 0) + e / V;
        const d = (Math.exp(z[v]! - top) / sum - soft) * f * slope(z[v]!, attrs.cap);
        for (let c = 0; c < C; c++) {
          made[dh]![s * C + c]! += d * w![v * C + c]!;
          if (dw !== undefined) made[dw]![v * C + c]! += d * h![s * C + c]!;
        }
        if (dbias !== undefined) made[dbias]![v]! += d;
      }
    }
    return made;
  },

  launch({ inputs: [h, w, labels, weights, ...more], outputs, attrs }, can) {
    const [S, C] = h!.shape as [number, number], V = w!.shape[0]!;
    const at = layout(attrs),
      out = (i: number | undefined) => i === undefined ? undefined : outputs[i]!;
    const [dh, dw, dbias] = [out(at.dh), out(at.dw), out(at.dbias)], logits = outputs[at.logits]!;
    const bias = attrs.bias ? more[0]! : undefined, ones = attrs.trainsBias ? more[1]! : undefined;
    const view = (tensor: Tensor, offset: number, ...shape: number[]): View => ({
      tensor,
      offset,
      shape,
    });
    const launches: Launch[] = [], { part: cap, constants: capConstants } = capping(attrs.cap);
    for (let from = 0; from < S; from += attrs.chunk) {
      const rows = Math.min(attrs.chunk, S - from), accumulate = from > 0;
      const z = view(logits, 0, rows, V), x = view(h!, from * C, rows, C);
      const part = (t: Tensor) => view(t, from, rows);
      launches.push(...matmulLaunches({ form: "nt", a: x, b: w!, out: z, bias }, can));
      launches.push({
        shader: {
          kernel: { file: "kernels/linear_cross_entropy/cross_entropy.wgsl", code: rowsCode },
          parts: [
            { file: "kernels/common/sum_tree.wgsl", code: tree },
            V % 4 === 0 ? row4 : row1,
            cap,
          ],
          constants: {
            V: V % 4 === 0 ? V / 4 : V,
            GRADIENT: attrs.gradient ? 1 : 0,
            WEIGHTED: weighted(attrs) ? 1 : 0,
            SMOOTHING: attrs.smoothing,
            LANES: can.software ? 64 : 256,
            ...capConstants,
          },
          alias: { Sum: "f32", Scores: V % 4 === 0 ? "vec4f" : "f32" },
        },
        workgroups: [rows, 1, 1],
        bind: [
          z,
          part(labels!),
          part(weights!),
          part(outputs[at.nll]!),
          part(outputs[at.argmax]!),
          part(outputs[at.means]!),
        ],
      });
      if (dh) {
        launches.push(
          ...matmulLaunches({ form: "nn", a: z, b: w!, out: view(dh, from * C, rows, C) }, can),
        );
      }
      if (dw) launches.push(matmulLaunch({ form: "tn", a: z, b: x, out: dw, accumulate }, can));
      // A column sum is a product with ones; this one can add to what is there.
      if (dbias) {
        const b = view(ones!, 0, rows, 1), sum = view(dbias, 0, V, 1);
        launches.push(matmulLaunch({ form: "tn", a: z, b, out: sum, accumulate }, can));
      }
    }
    launches.push({
      shader: {
        kernel: { file: "kernels/linear_cross_entropy/weighted_sum.wgsl", code: sumCode },
        parts: [{ file: "kernels/common/sum_tree.wgsl", code: tree }],
        constants: { LANES: 256 },
        alias: { Sum: "f32" },
      },
      workgroups: [1, 1, 1],
      bind: [weights!, outputs[at.nll]!, outputs[at.loss]!],
    });
    return launches;
  },

  backward(g, { inputs, outputs, attrs }, [dloss, dnll], wants) {
    const [h, w, labels, weights, ...more] = inputs;
    if (attrs.later) {
      // Only now is it known what each row counts: once more, with the gradient.
      const fromLoss = dloss && scale(g, weights!, dloss);
      const factor = fromLoss && dnll ? g.add(add, [fromLoss, dnll], null)[0]! : fromLoss ?? dnll!;
      const again = { ...attrs, later: false, gradient: true };
      const made = g.add(linearCrossEntropyOp, [h!, w!, labels!, factor, ...more], again);
      const { dh, dw, dbias } = layout(again);
      return [dh, dw, undefined, undefined, dbias].map((i) =>
        i === undefined ? undefined : made[i]
      );
    }
    const { dh, dw, dbias } = layout(attrs);
    if (dh === undefined) throw new Fail("linear_cross_entropy was recorded without its gradient");
    const given: (Tensor | undefined)[] = inputs.map(() => undefined);
    if (weighted(attrs)) {
      if (dnll || !dloss) {
        throw new Fail(
          "linear_cross_entropy: with a projection that learns, only `loss` has a gradient",
        );
      }
      if (wants[0]) given[0] = scale(g, outputs[dh]!, dloss);
      if (dw !== undefined) given[1] = scale(g, outputs[dw]!, dloss);
      if (dbias !== undefined) given[4] = scale(g, outputs[dbias]!, dloss);
      return given;
    }
    const fromLoss = dloss && scale(g, weights!, dloss);
    const factor = fromLoss && dnll ? g.add(add, [fromLoss, dnll], null)[0]! : fromLoss ?? dnll;
    if (wants[0] && factor) given[0] = scaleRows(g, outputs[dh]!, factor);
    return given;
  },

  flops({ inputs: [h, w], attrs }) {
    const products = 1 + (attrs.gradient ? 1 : 0) + (attrs.gradient && attrs.trainsW ? 1 : 0);
    return 2 * count(h!.shape) * w!.shape[0]! * products;
  },
};

export interface CrossEntropyInputs {
  /** f32[S, C] */
  readonly h: Tensor;
  /** [V, C]; f32, or f16 or bf16 when frozen */
  readonly w: Tensor;
  readonly bias?: Tensor;
  /** u32[S]; anything ≥ V is not asked for */
  readonly labels: Tensor;
  /** f32[S] */
  readonly weights: Tensor;
  readonly gradient: boolean;
  /**
   * Rows have gradients of their own, by `nll`. Where the projection learns, they are made in the backward
   * pass, of the logits once more: its derivative is a sum over rows by what each counts.
   */
  readonly byRow?: boolean;
  /** Logits z become cap · tanh(z / cap). */
  readonly cap?: number;
  /**
   * Labels are softened as torch's CrossEntropyLoss(label_smoothing) does (Szegedy et al. 2016): the target
   * is 1 - smoothing + smoothing / V for the label and smoothing / V for all else.
   */
  readonly smoothing?: number;
  /** Rows in a chunk, a multiple of 64; by default as many as 64 MiB of logits hold, 64 to 256. */
  readonly chunk?: number;
}

const chunkOf = (V: number) => Math.max(64, Math.min(256, 64 * Math.floor(2 ** 18 / V)));

/**
 * loss = Σ weights[s] · nll[s] with nll[s] = -log softmax(h[s]·Wᵀ + bias)[labels[s]], argmax[s], and
 * means[s], the mean of the logits. All
 * logits never exist at once: chunk by chunk they become d loss / d h, as in Liger's fused linear cross
 * entropy (Hsu et al. 2024).
 * @throws Fail when shapes do not fit, or the chunk is no multiple of 64
 */
export function linearCrossEntropy(
  g: Graph,
  { h, w, bias, labels, weights, cap, smoothing = 0, chunk = chunkOf(w.shape[0]!), ...how }:
    CrossEntropyInputs,
): {
  readonly loss: Tensor;
  readonly nll: Tensor;
  readonly argmax: Tensor;
  readonly means: Tensor;
} {
  if (chunk % 64 !== 0) {
    throw new Fail(`linear_cross_entropy: a chunk of ${chunk} rows is no multiple of 64`, {
      exit: Exit.internal,
    });
  }
  const trainsW = how.gradient && w.needsGrad;
  const trainsBias = how.gradient && (bias?.needsGrad ?? false);
  const later = how.gradient && how.byRow === true && (trainsW || trainsBias);
  const gradient = how.gradient && !later;
  const inputs = [h, w, labels, weights];
  if (bias) inputs.push(bias);
  if (trainsBias) {
    inputs.push(g.constant("ones", [chunk, 1] as Shape, new Float32Array(chunk).fill(1)));
  }
  const learns = { trainsW, trainsBias, later };
  const attrs = { chunk, gradient, bias: bias !== undefined, ...learns, smoothing, cap };
  const [loss, nll, argmax, means] = g.add(linearCrossEntropyOp, inputs, attrs);
  return { loss: loss!, nll: nll!, argmax: argmax!, means: means! };
}
