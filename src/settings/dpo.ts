import { z } from "zod";
import { field, fraction } from "./field.ts";
import {
  checkReference,
  fixed,
  preferenceFields,
  referenceFields,
  referenceOf,
} from "./preference.ts";
import { check, complete } from "./train.ts";

/** TRL's names of losses on pairs. */
const LOSSES = [
  "sigmoid",
  "hinge",
  "ipo",
  "ipo_sum",
  "robust",
  "exo_pair",
  "nca_pair",
  "bco_pair",
  "sppo_hard",
  "apo_zero",
  "apo_down",
  "discopop",
  "sigmoid_norm",
  "aot",
  "aot_pair",
  "aot_unpaired",
] as const;

/** Settings of direct preference optimisation. */
export const dpoFields = {
  ...preferenceFields,
  ...referenceFields,
  loss_type: field(z.enum(LOSSES).default("sigmoid"), {
    group: "Objective",
    aliases: ["dpo-loss", "loss"],
    changes: "values",
    help:
      "the loss of a pair, by TRL's name; ipo_sum is ipo on sums over tokens, aot_pair TRL's older name of aot",
    later: {
      sft: "alone it is whet train sft, and sums of losses are not built",
    },
    elsewhere: {
      orpo: "whet train orpo",
      simpo: "whet train simpo",
      kto: "whet train kto",
    },
  }),
  label_smoothing: field(fraction().max(0.999).optional(), {
    group: "Objective",
    aliases: ["label-smoothing-factor"],
    value: "E",
    changes: "values",
    help: "share of pairs thought to be the wrong way round: sigmoid, aot, robust and exo_pair",
    otherwise: "0; 0.001 for exo_pair, which needs some; 0.1 for robust",
  }),
};

const SMOOTHING: Readonly<Record<string, readonly [usual: number, below: number]>> = {
  sigmoid: [0, 1],
  robust: [0.1, 0.5],
  exo_pair: [0.001, 1],
  aot: [0, 1],
  aot_pair: [0, 1],
  aot_unpaired: [0, 1],
};

type Raw = z.output<z.ZodObject<typeof dpoFields>>;

/** What holds between the settings of preference optimisation. */
export function checkDpo(s: Raw, issues: z.RefinementCtx) {
  const refuse = (key: string, message: string) =>
    issues.addIssue({ code: "custom", path: [key], message });
  check(s, issues);
  const { label_smoothing: smoothing = 0, loss_type: loss } = s, known = SMOOTHING[loss];
  if (smoothing > 0 && !known) refuse("label_smoothing", `has no meaning with --loss-type ${loss}`);
  if (known && smoothing >= known[1]) {
    refuse("label_smoothing", `must be below ${known[1]} with --loss-type ${loss}`);
  }
  if (loss === "exo_pair" && s.label_smoothing === 0) {
    refuse("label_smoothing", "must be above 0 with --loss-type exo_pair");
  }
  checkReference(s, issues);
}

export const dpoSettings = z.strictObject(dpoFields).superRefine(checkDpo).transform((s) =>
  complete({
    ...s,
    ...fixed,
    reference: referenceOf(s),
    label_smoothing: s.label_smoothing ?? SMOOTHING[s.loss_type]?.[0] ?? 0,
  })
);

export type DpoSettings = z.output<typeof dpoSettings>;
