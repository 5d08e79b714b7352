import { z } from "zod";
import { field, fraction, positive } from "./field.ts";
import { fixed, preferenceFields } from "./preference.ts";
import { check, complete } from "./train.ts";

/** Settings of simple preference optimisation. */
export const simpoFields = {
  ...preferenceFields,
  beta: field(positive().max(1000).default(2), {
    group: "Objective",
    aliases: ["simpo-beta", "cpo-beta"],
    value: "B",
    changes: "values",
    help:
      "scale of the rewards, which are mean log-probabilities by the token; the paper has 2 to 10",
  }),
  simpo_gamma: field(z.number().min(0).max(1000).default(0.5), {
    group: "Objective",
    aliases: ["gamma"],
    value: "G",
    changes: "values",
    help: "by how much the chosen answer's reward should be the larger",
  }),
  cpo_alpha: field(z.number().min(0).max(1000).default(0), {
    group: "Objective",
    value: "A",
    changes: "values",
    help: "what supervised training on the chosen answers counts beside it; TRL's CPOTrainer has 1",
  }),
  label_smoothing: field(fraction().max(0.999).default(0), {
    group: "Objective",
    aliases: ["label-smoothing-factor"],
    value: "E",
    changes: "values",
    help: "share of pairs thought to be the wrong way round",
  }),
};

export const simpoSettings = z.strictObject(simpoFields).superRefine(check).transform((s) => ({
  ...complete({ ...s, ...fixed }),
  loss_type: "simpo" as const,
  reference: "free" as const,
}));

export type SimpoSettings = z.output<typeof simpoSettings>;
