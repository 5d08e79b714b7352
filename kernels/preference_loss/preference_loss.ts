import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { floatBits, numbers } from "../common/numbers.ts";
import tree from "../common/sum_tree.wgsl" with { type: "text" };
import { scale } from "../scale/scale.ts";
import { losses, type LossName, type Pair, type PreferenceLoss } from "./losses.ts";
import code from "./preference_loss.wgsl" with { type: "text" };
import smooth from "./smooth.wgsl" with { type: "text" };
import twoFloats from "./two_floats.wgsl" with { type: "text" };

export interface PreferenceAttrs {
  readonly loss: LossName;
  /** How far the policy may go from the reference: larger is nearer. */
  readonly beta: number;
  /** Share of the pairs that are thought to be the wrong way round. */
  readonly smoothing: number;
  /** By how much SimPO wants the chosen answer to be better; 0 where absent. */
  readonly gamma?: number;
}

/** What `measures` holds, in order; TRL's names. Two more numbers are what the loss notes of a pair. */
export const measured = [
  "loss",
  "rewards/chosen",
  "rewards/rejected",
  "rewards/accuracies",
  "rewards/margins",
  "logps/chosen",
  "logps/rejected",
] as const;

/** What the kernel's struct Numbers holds. */
function factors({ beta, smoothing, gamma = 0 }: PreferenceAttrs): Tensor {
  const half = 0.5 / beta, high = Math.fround(half);
  const log = (x: number) => x > 0 ? Math.log(x) : 0;
  return numbers(
    ...[beta, smoothing, gamma, high, half - high, log(1 - smoothing), log(smoothing)].map(
      floatBits,
    ),
    0,
  );
}

/** [nll f32[2P,1], logps f32[2P], bounds u32[2P,2], weights f32[P]] -> [loss, dnll, measures]; see `preferenceLoss`. */
export const preferenceLossOp: Op<PreferenceAttrs> = {
  name: "preference_loss",
  infer([nll, logps, bounds, weights]) {
    const P = count(weights!.shape);
    const fits = [nll!, logps!].every((t) => count(t.shape) === 2 * P) &&
      count(bounds!.shape) === 4 * P;
    if (!fits) {
      throw new Fail(`preference_loss: ${P} pairs do not fit ${[nll!, logps!, bounds!].map(show)}`);
    }
    return [[1], nll!.shape, [measured.length + 2]].map((shape) => ({ shape, dtype: "f32" }));
  },
  reference([nll, logps, bounds, weights], attrs) {
    const { of, average, notes }: PreferenceLoss = losses[attrs.loss];
    const dnll = new Float64Array(nll!.length), sums = new Float64Array(measured.length + 2);
    weights!.forEach((w, p) => {
      if (w === 0) return;
      const length = (i: number) => bounds![2 * i + 1]! - bounds![2 * i]!;
      const per = (i: number) => average ? length(i) : 1;
      const at = (i: number) => (-nll![i]! - logps![i]!) / per(i);
      const [i, j] = [2 * p, 2 * p + 1], { beta, gamma = 0 } = attrs;
      const lengths = { chosen: length(i), rejected: length(j) };
      const pair: Pair = { ...attrs, gamma, c: at(i), r: at(j), ...lengths };
      // Central differences, so that the kernel's derivative is held against the loss itself.
      const slope = (key: "c" | "r") => {
        const h = 1e-5, moved = (by: number) => of({ ...pair, [key]: pair[key] + by });
        return (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
      };
      dnll[i] = -w * slope("c") / per(i);
      dnll[j] = -w * slope("r") / per(j);
      const { c, r } = pair, right = c > r ? 1 : 0;
      const policy = [i, j].map((at) => -nll![at]! / per(at));
      [of(pair), beta * c, beta * r, right, beta * (c - r), ...policy, ...notes?.(pair) ?? []]
        .forEach((value, k) => sums[k]! += w * value);
    });
    return [sums.slice(0, 1), dnll, sums];
  },
  launch: ({ inputs, outputs, attrs }) => [{
    shader: {
      kernel: { file: "kernels/preference_loss/preference_loss.wgsl", code },
      parts: [
        { file: "kernels/common/sum_tree.wgsl", code: tree },
        { file: `kernels/preference_loss/${attrs.loss}.wgsl`, code: losses[attrs.loss].code },
        { file: "kernels/preference_loss/smooth.wgsl", code: smooth },
        { file: "kernels/preference_loss/two_floats.wgsl", code: twoFloats },
      ],
      constants: { LANES: 64, AVERAGE: (losses[attrs.loss] as PreferenceLoss).average ? 1 : 0 },
      alias: { Sum: "vec4f" },
    },
    workgroups: [1, 1, 1],
    bind: [...inputs, factors(attrs), ...outputs],
  }],
  backward(g, { outputs: [, dnll] }, [dloss, , dmeasures]) {
    if (dmeasures) throw new Fail("preference_loss: only `loss` has a gradient");
    return [dloss && scale(g, dnll!, dloss)];
  },
};

/**
 * A loss on pairs of answers (Rafailov et al. 2023 and what came after): see `losses`. A pair whose weight
 * is 0 is none. For the f32 log-probabilities given, the loss of every pair and its measures are within
 * 1e-6 · max(1, |value|) of the formula in float64, its derivative within twice that, however much cancels
 * between them. Log-probabilities themselves carry the rounding of f32: 1e-6 for one of 20.
 * @returns loss f32[1], Σ weights[p] · l_p, and measures f32[9] in the order of `measured`
 * @throws Fail when shapes do not fit
 */
export function preferenceLoss(
  g: Graph,
  inputs: {
    /** f32[2P, 1]: minus the policy's log-probability of chosen and rejected, pair by pair */
    readonly nll: Tensor;
    /** f32[2P]: the reference's log-probabilities */
    readonly logps: Tensor;
    /** u32[2P, 2]: where the tokens of each answer begin and end */
    readonly bounds: Tensor;
    /** f32[P] */
    readonly weights: Tensor;
  },
  attrs: PreferenceAttrs,
): { readonly loss: Tensor; readonly measures: Tensor } {
  const { nll, logps, bounds, weights } = inputs;
  const [loss, , measures] = g.add(preferenceLossOp, [nll, logps, bounds, weights], attrs);
  return { loss: loss!, measures: measures! };
}
