import { z } from "zod";
import { field, positive } from "./field.ts";
import { fixed, preferenceFields } from "./preference.ts";
import { check, complete } from "./train.ts";

/** Settings of odds ratio preference optimisation. */
export const orpoFields = {
  ...preferenceFields,
  beta: field(positive().max(1000).default(0.1), {
    group: "Objective",
    aliases: ["orpo-lambda", "lambda"],
    value: "L",
    changes: "values",
    help: "what the odds ratio counts beside the likelihood of the chosen sequence",
  }),
};

export const orpoSettings = z.strictObject(orpoFields).superRefine(check).transform((s) => ({
  ...complete({ ...s, ...fixed, label_smoothing: 0 }),
  loss_type: "orpo" as const,
  reference: "free" as const,
}));

export type OrpoSettings = z.output<typeof orpoSettings>;
