import { z } from "zod";
import { field, positive } from "./field.ts";
import {
  checkReference,
  fixed,
  preferenceFields,
  referenceFields,
  referenceOf,
} from "./preference.ts";
import { check, complete } from "./train.ts";

const { min_pairs: _pairs, ...shared } = preferenceFields;
const weight = (what: string) =>
  field(positive().max(1000).default(1), {
    group: "Objective",
    value: "W",
    changes: "values",
    help: `what ${what} answers count`,
  });

/** Settings of Kahneman-Tversky optimisation. */
export const ktoFields = {
  ...shared,
  ...referenceFields,
  loss_type: field(z.enum(["kto", "apo_zero_unpaired"]).default("kto"), {
    group: "Objective",
    aliases: ["loss"],
    changes: "values",
    help: "by TRL's name; apo_zero_unpaired does without the distance to the reference",
  }),
  desirable_weight: weight("wanted"),
  undesirable_weight: weight("unwanted"),
};

type Raw = z.output<z.ZodObject<typeof ktoFields>>;

function checkKto(s: Raw, issues: z.RefinementCtx) {
  check(s, issues);
  checkReference(s, issues);
  if (s.loss_type === "kto" && s.batch < 2) {
    issues.addIssue({
      code: "custom",
      path: ["batch"],
      message: "of one row has no other row's answer to measure the distance by",
    });
  }
}

export const ktoSettings = z.strictObject(ktoFields).superRefine(checkKto).transform((s) => ({
  ...complete({ ...s, ...fixed, label_smoothing: 0 }),
  reference: referenceOf(s),
  min_pairs: 1,
}));

export type KtoSettings = z.output<typeof ktoSettings>;
