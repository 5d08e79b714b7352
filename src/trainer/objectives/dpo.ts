import { gatherRows } from "../../../kernels/gather_rows/gather_rows.ts";
import type { LossName } from "../../../kernels/preference_loss/losses.ts";
import { measured, preferenceLoss } from "../../../kernels/preference_loss/preference_loss.ts";
import { rankMatch } from "../../../kernels/rank_match/rank_match.ts";
import { Answers, logitNames } from "./answers.ts";
import type { Objective } from "./objective.ts";

export type ReferencePolicy =
  /** The same weights without the adapter, before each micro-batch. */
  | "adapter-off"
  /** The same, once before training. */
  | "cached"
  /** The adapter that training begins with, once before training. */
  | "sft"
  /** None: both log-probabilities are 0. */
  | "free";

/** Losses on all pairs of a step at once: the margins, or the answers, matched by rank (Melnyk et al. 2024). */
export const matchedLosses = ["aot", "aot_pair", "aot_unpaired"] as const;

export interface DpoOptions {
  readonly loss: Exclude<LossName, "orpo" | "simpo"> | (typeof matchedLosses)[number];
  readonly beta: number;
  readonly smoothing: number;
  readonly reference: ReferencePolicy;
}

/** What an objective compares the answers with. */
export function referenceOf(reference: ReferencePolicy): Objective["reference"] {
  if (reference === "free") return undefined;
  return {
    adapter: reference === "sft",
    once: reference !== "adapter-off",
    record: (model, net, { size }) => new Answers(model, net, size, false),
  };
}

/**
 * Direct preference optimisation (Rafailov et al. 2023) and the losses that came after it: each row is a
 * pair of answers, and a step's loss the mean over its pairs.
 */
export function dpo({ loss: name, beta, smoothing, reference }: DpoOptions): Objective {
  const matched = matchedLosses.find((loss) => loss === name),
    answersMatched = name === "aot_unpaired";
  return {
    kind: "dpo",
    logged: [undefined, ...measured.slice(1), undefined, undefined, ...logitNames],
    likelihood: false,
    together: matched !== undefined,
    weight: () => 1,
    record(model, net, { size }, trains) {
      const { g } = net, answers = new Answers(model, net, size, trains), P = answers.rows;
      const logps = g.input("reference", [2 * P, 1], "f32");
      const weights = g.input("pair weights", [P], "f32");
      const { nll, bounds } = answers, given = { nll, logps, bounds, weights };
      const loss = matched ? "sigmoid" : name as LossName, attrs = { loss, beta, smoothing };
      // Rewards are those of the pairs as they stand.
      const { loss: plain, measures } = preferenceLoss(g, given, attrs);
      let value = plain;
      if (matched) {
        const { map, inverse } = rankMatch(g, given, { answers: answersMatched });
        const other = answersMatched ? gatherRows(g, nll, map, inverse) : nll;
        const asMatched = { ...given, nll: other, logps: gatherRows(g, logps, map, inverse) };
        value = preferenceLoss(g, asMatched, attrs).loss;
      }
      return {
        loss: value,
        sums: answers.logged([value, measures]),
        fill(inputs, rows, share, given, all) {
          answers.fill(inputs, rows, all);
          const compared = new Float32Array(2 * P);
          if (given) compared.set(given.subarray(0, 2 * rows.length));
          inputs.write(logps, compared);
          inputs.write(weights, new Float32Array(P).fill(share, 0, rows.length));
        },
      };
    },
    reference: referenceOf(reference),
  };
}
