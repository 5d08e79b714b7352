import { add } from "../../../kernels/add/add.ts";
import { measured, preferenceLoss } from "../../../kernels/preference_loss/preference_loss.ts";
import { scale } from "../../../kernels/scale/scale.ts";
import { Answers, logitNames, ofChosen } from "./answers.ts";
import type { Objective } from "./objective.ts";

export interface SimpoOptions {
  readonly beta: number;
  /** By how much the reward of the chosen answer should be the larger. */
  readonly gamma: number;
  readonly smoothing: number;
  /** What supervised training on the chosen answers counts beside it, as in CPO (Xu et al. 2024). */
  readonly alpha: number;
}

/**
 * Simple preference optimisation (Meng et al. 2024): the reward of an answer is its mean log-probability by
 * the token, and there is no reference.
 */
export function simpo({ beta, gamma, smoothing, alpha }: SimpoOptions): Objective {
  return {
    kind: "simpo",
    logged: [
      undefined,
      ...measured.slice(1),
      undefined,
      undefined,
      alpha > 0 ? "nll_loss" : undefined,
      ...logitNames,
    ],
    likelihood: false,
    weight: () => 1,
    record(model, net, recipe, trains) {
      const { g } = net, answers = new Answers(model, net, recipe, trains), P = answers.rows;
      const weights = g.input("pair weights", [P], "f32");
      const logps = g.constant("no reference", [2 * P], new Float32Array(2 * P));
      const { nll, bounds, likelihood } = answers, given = { nll, logps, bounds, weights };
      const how = { loss: "simpo", beta, smoothing, gamma } as const;
      const { loss: preference, measures } = preferenceLoss(g, given, how);
      let loss = preference;
      if (alpha > 0) {
        const factor = g.constant("cpo alpha", [1], Float32Array.of(alpha));
        loss = g.add(add, [preference, scale(g, likelihood, factor)], null)[0]!;
      }
      return {
        loss,
        sums: answers.logged([loss, measures, likelihood]),
        fill(inputs, rows, share, _given, all) {
          answers.fill(inputs, rows, all, ofChosen);
          inputs.write(weights, new Float32Array(P).fill(share, 0, rows.length));
        },
      };
    },
  };
}
