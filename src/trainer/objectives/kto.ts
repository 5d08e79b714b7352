import { ktoLoss, ktoMeasured } from "../../../kernels/kto_loss/kto_loss.ts";
import { Answers, logitNames } from "./answers.ts";
import { padded, referenceOf, type ReferencePolicy } from "./dpo.ts";
import type { Objective } from "./objective.ts";

export interface KtoOptions {
  /** kto, or without the distance to the reference apo_zero_unpaired (D’Oosterlinck et al. 2024). */
  readonly loss: "kto" | "apo_zero_unpaired";
  readonly beta: number;
  /** What answers that are wanted count, and what the others do. */
  readonly desirable: number;
  readonly undesirable: number;
  readonly reference: ReferencePolicy;
}

/**
 * Kahneman-Tversky optimisation (Ethayarajh et al. 2024): each row is one answer and whether it is wanted,
 * with the answer of another row to measure the distance to the reference by. The distance is the mean over
 * the rows of a step, and has no gradient.
 */
export function kto(
  { loss: name, beta, desirable, undesirable, reference }: KtoOptions,
): Objective {
  const kl = name === "kto";
  return {
    kind: "kto",
    logged: [...ktoMeasured.slice(1), ...logitNames],
    likelihood: false,
    together: kl,
    weight: () => 1,
    record(model, net, recipe, trains) {
      const { g } = net,
        answers = new Answers(model, net, recipe, trains, reference === "adapter-off"),
        N = answers.rows;
      const logps = answers.reference ?? g.input("reference", [2 * N, 1], "f32");
      const rows = g.input("rows", [N, 4], "f32");
      const { loss, measures } = ktoLoss(g, { nll: answers.nll, logps, rows }, { beta, kl });
      return {
        loss,
        sums: answers.logged([measures]),
        fill(inputs, some, share, given, all = some) {
          answers.fill(inputs, some, all);
          if (!answers.reference) inputs.write(logps, padded(given, 2 * N));
          const good = all.filter(({ pair }) => pair?.wanted).length, bad = all.length - good;
          inputs.write(
            rows,
            Float32Array.from({ length: 4 * N }, (_, i) => {
              const row = some[i >> 2];
              if (!row) return 0;
              const wanted = row.pair?.wanted === true;
              const weight = wanted ? desirable : undesirable;
              return [wanted ? 1 : -1, share * weight, 1 / (wanted ? good : bad), share][i % 4]!;
            }),
          );
        },
      };
    },
    reference: referenceOf(reference),
  };
}
