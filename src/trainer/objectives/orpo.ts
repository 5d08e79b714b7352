import { add } from "../../../kernels/add/add.ts";
import { measured, preferenceLoss } from "../../../kernels/preference_loss/preference_loss.ts";
import { Answers, logitNames, ofChosen } from "./answers.ts";
import type { Objective } from "./objective.ts";

export interface OrpoOptions {
  /** What the odds ratio counts beside the likelihood; λ in the paper. */
  readonly beta: number;
}

/**
 * Odds ratio preference optimisation (Hong et al. 2024): supervised training on the chosen sequences,
 * their prompts too, and a preference for their odds against the rejected ones. There is no reference.
 * The likelihood is the mean over the chosen tokens of a step; log-probabilities are by the token.
 */
export function orpo({ beta }: OrpoOptions): Objective {
  return {
    kind: "orpo",
    logged: [
      undefined,
      ...measured.slice(1),
      "log_odds_ratio",
      "log_odds_chosen",
      "nll_loss",
      ...logitNames,
    ],
    likelihood: false,
    weight: () => 1,
    record(model, net, recipe, trains) {
      const { g } = net, answers = new Answers(model, net, recipe, trains), P = answers.rows;
      const weights = g.input("pair weights", [P], "f32");
      const logps = g.constant("no reference", [2 * P], new Float32Array(2 * P));
      const { nll, bounds, likelihood } = answers, given = { nll, logps, bounds, weights };
      const { loss, measures } = preferenceLoss(g, given, { loss: "orpo", beta, smoothing: 0 });
      const whole = g.add(add, [loss, likelihood], null)[0]!;
      return {
        loss: whole,
        sums: answers.logged([whole, measures, likelihood]),
        fill(inputs, rows, share, _given, all) {
          answers.fill(inputs, rows, all, ofChosen);
          inputs.write(weights, new Float32Array(P).fill(share, 0, rows.length));
        },
      };
    },
  };
}
