import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { floatBits, numbers } from "../common/numbers.ts";
import tree from "../common/sum_tree.wgsl" with { type: "text" };
import { scale } from "../scale/scale.ts";
import { losses, type LossName, type Pair, type PreferenceLoss } from "./losses.ts";
import code from "./preference_loss.wgsl" with { type: "text" };

export interface PreferenceAttrs {
  readonly loss: LossName;
  /** How far the policy may go from the reference: larger is nearer. */
  readonly beta: number;
  /** Share of the pairs that are thought to be the wrong way round. */
  readonly smoothing: number;
}

/** What `measures` holds, in order; TRL's names. */
export const measured = [
  "loss",
  "rewards/chosen",
  "rewards/rejected",
  "rewards/accuracies",
  "rewards/margins",
  "logps/chosen",
  "logps/rejected",
] as const;

/** [nll f32[2P,1], logps f32[2P], bounds u32[2P+1], weights f32[P]] -> [loss, dnll, measures]; see `preferenceLoss`. */
export const preferenceLossOp: Op<PreferenceAttrs> = {
  name: "preference_loss",
  infer([nll, logps, bounds, weights]) {
    const P = count(weights!.shape);
    const fits = [nll!, logps!].every((t) => count(t.shape) === 2 * P) &&
      count(bounds!.shape) === 2 * P + 1;
    if (!fits) {
      throw new Fail(`preference_loss: ${P} pairs do not fit ${[nll!, logps!, bounds!].map(show)}`);
    }
    return [[1], nll!.shape, [measured.length]].map((shape) => ({ shape, dtype: "f32" }));
  },
  reference([nll, logps, bounds, weights], attrs) {
    const of: PreferenceLoss["of"] = losses[attrs.loss].of;
    const dnll = new Float64Array(nll!.length), sums = new Float64Array(measured.length);
    weights!.forEach((w, p) => {
      if (w === 0) return;
      const at = (i: number) => -nll![i]! - logps![i]!,
        length = (i: number) => bounds![i + 1]! - bounds![i]!;
      const [i, j] = [2 * p, 2 * p + 1], { beta } = attrs;
      const pair: Pair = { ...attrs, c: at(i), r: at(j), chosen: length(i), rejected: length(j) };
      // Central differences, so that the kernel's derivative is held against the loss itself.
      const slope = (key: "c" | "r") => {
        const h = 1e-5, moved = (by: number) => of({ ...pair, [key]: pair[key] + by });
        return (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
      };
      dnll[i] = -w * slope("c");
      dnll[j] = -w * slope("r");
      const { c, r } = pair, right = c > r ? 1 : 0;
      [of(pair), beta * c, beta * r, right, beta * (c - r), -nll![i]!, -nll![j]!]
        .forEach((value, k) => sums[k]! += w * value);
    });
    return [sums.slice(0, 1), dnll, sums];
  },
  launch: ({ inputs, outputs, attrs: { loss, beta, smoothing } }) => [{
    shader: {
      kernel: { file: "kernels/preference_loss/preference_loss.wgsl", code },
      parts: [
        { file: "kernels/common/sum_tree.wgsl", code: tree },
        { file: `kernels/preference_loss/${loss}.wgsl`, code: losses[loss].code },
      ],
      constants: { LANES: 64 },
      alias: { Sum: "vec4f" },
    },
    workgroups: [1, 1, 1],
    bind: [...inputs, numbers(floatBits(beta), floatBits(smoothing)), ...outputs],
  }],
  backward(g, { outputs: [, dnll] }, [dloss, , dmeasures]) {
    if (dmeasures) throw new Fail("preference_loss: only `loss` has a gradient");
    return [dloss && scale(g, dnll!, dloss)];
  },
};

/**
 * A loss on pairs of answers (Rafailov et al. 2023 and what came after): see `losses`. A pair whose weight
 * is 0 is none.
 * @returns loss f32[1], Σ weights[p] · l_p, and measures f32[7] in the order of `measured`
 * @throws Fail when shapes do not fit
 */
export function preferenceLoss(
  g: Graph,
  inputs: {
    /** f32[2P, 1]: minus the policy's log-probability of chosen and rejected, pair by pair */
    readonly nll: Tensor;
    /** f32[2P]: the reference's log-probabilities */
    readonly logps: Tensor;
    /** u32[2P + 1]: where the tokens of each answer begin */
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
