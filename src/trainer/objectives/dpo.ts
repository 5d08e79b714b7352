import { gatherRows } from "../../../kernels/gather_rows/gather_rows.ts";
import type { LossName } from "../../../kernels/preference_loss/losses.ts";
import { measured, preferenceLoss } from "../../../kernels/preference_loss/preference_loss.ts";
import { rankMatch } from "../../../kernels/rank_match/rank_match.ts";
import { Answers, logitNames } from "./answers.ts";
import type { Objective } from "./objective.ts";

export type ReferencePolicy =
  /** The same weights without the adapter, in the same step. */
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

/** What an objective compares the answers with that is computed before training. */
export function referenceOf(reference: ReferencePolicy): Objective["reference"] {
  if (reference === "free" || reference === "adapter-off") return undefined;
  return {
    adapter: reference === "sft",
    record: (model, net, recipe) => new Answers(model, net, recipe, false),
  };
}

/** Log-probabilities of rows at the places of a whole batch. */
export function padded(given: Float32Array | undefined, size: number): Float32Array {
  const all = new Float32Array(size);
  if (given) all.set(given);
  return all;
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
    record(model, net, recipe, trains) {
      const { g } = net,
        answers = new Answers(model, net, recipe, trains, reference === "adapter-off"),
        P = answers.rows;
      const logps = answers.reference ?? g.input("reference", [2 * P, 1], "f32");
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
          if (!answers.reference) inputs.write(logps, padded(given, 2 * P));
          inputs.write(weights, new Float32Array(P).fill(share, 0, rows.length));
        },
      };
    },
    reference: referenceOf(reference),
  };
}
