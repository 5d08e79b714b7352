import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { floatBits, numbers } from "../common/numbers.ts";
import tree from "../common/sum_tree.wgsl" with { type: "text" };
import smooth from "../preference_loss/smooth.wgsl" with { type: "text" };
import twoFloats from "../preference_loss/two_floats.wgsl" with { type: "text" };
import { scale } from "../scale/scale.ts";
import code from "./kto_loss.wgsl" with { type: "text" };

export interface KtoAttrs {
  /** How far the policy may go from the reference: larger is nearer. */
  readonly beta: number;
  /** Rewards count from the distance to the reference, as answers to other prompts show it. */
  readonly kl: boolean;
}

/** What `measures` holds, in order; TRL's names. */
export const ktoMeasured = [
  "loss",
  "kl",
  "rewards/chosen",
  "rewards/rejected",
  "rewards/margins",
  "logps/chosen",
  "logps/rejected",
] as const;

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** [nll f32[2N,1], logps f32[2N], rows f32[N,4]] -> [loss, dnll, measures]; see `ktoLoss`. */
export const ktoLossOp: Op<KtoAttrs> = {
  name: "kto_loss",
  infer([nll, logps, rows]) {
    const N = count(rows!.shape) / 4;
    if (count(nll!.shape) !== 2 * N || count(logps!.shape) !== 2 * N) {
      throw new Fail(`kto_loss: ${N} rows do not fit ${[nll!, logps!].map(show).join(", ")}`);
    }
    return [[1], nll!.shape, [ktoMeasured.length]].map((shape) => ({ shape, dtype: "f32" }));
  },
  reference([nll, logps, rows], { beta, kl: counts }) {
    const there = Array.from({ length: rows!.length / 4 }, (_, n) => n)
      .filter((n) => rows![4 * n] !== 0);
    const ratio = (i: number) => -nll![i]! - logps![i]!;
    const far = there.reduce((sum, n) => sum + ratio(2 * n + 1), 0) / Math.max(there.length, 1);
    const kl = counts ? Math.max(0, far) : 0;
    const dnll = new Float64Array(nll!.length), sums = new Float64Array(ktoMeasured.length);
    for (const n of there) {
      const [t, weight, share, part] = rows!.subarray(4 * n, 4 * n + 4) as unknown as number[];
      const c = ratio(2 * n), u = beta * (c - kl);
      dnll[2 * n] = weight! * t! * beta * sigmoid(u) * sigmoid(-u);
      sums[0]! += weight! * sigmoid(-t! * u);
      sums[1]! += kl * part!;
      sums[t! > 0 ? 2 : 3]! += share! * beta * c;
      sums[4]! += t! * share! * beta * c;
      sums[t! > 0 ? 5 : 6]! -= share! * nll![2 * n]!;
    }
    return [sums.slice(0, 1), dnll, sums];
  },
  launch: ({ inputs, outputs, attrs: { beta, kl } }) => [{
    shader: {
      kernel: { file: "kernels/kto_loss/kto_loss.wgsl", code },
      parts: [
        { file: "kernels/common/sum_tree.wgsl", code: tree },
        { file: "kernels/preference_loss/smooth.wgsl", code: smooth },
        { file: "kernels/preference_loss/two_floats.wgsl", code: twoFloats },
      ],
      constants: { LANES: 64, KL: kl ? 1 : 0 },
      alias: { Sum: "vec4f" },
    },
    workgroups: [1, 1, 1],
    bind: [...inputs, numbers(floatBits(beta), 0), ...outputs],
  }],
  backward(g, { outputs: [, dnll] }, [dloss, , dmeasures]) {
    if (dmeasures) throw new Fail("kto_loss: only `loss` has a gradient");
    return [dloss && scale(g, dnll!, dloss)];
  },
};

/**
 * Kahneman-Tversky optimisation (Ethayarajh et al. 2024): answers that are wanted or not, one by one. The
 * distance to the reference, which has no gradient, is the mean over all rows that are there.
 * @returns loss f32[1], and measures f32[7] in the order of `ktoMeasured`
 * @throws Fail when shapes do not fit
 */
export function ktoLoss(
  g: Graph,
  inputs: {
    /** f32[2N, 1]: minus the log-probability of each answer, and of another row's answer to its prompt */
    readonly nll: Tensor;
    /** f32[2N]: the reference's log-probabilities */
    readonly logps: Tensor;
    /** f32[N, 4]: 1 wanted, -1 not, 0 no row; weight; share among rows of its kind; share among all */
    readonly rows: Tensor;
  },
  attrs: KtoAttrs,
): { readonly loss: Tensor; readonly measures: Tensor } {
  const [loss, , measures] = g.add(ktoLossOp, [inputs.nll, inputs.logps, inputs.rows], attrs);
  return { loss: loss!, measures: measures! };
}
