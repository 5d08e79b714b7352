import { z } from "zod";
import { field, fraction, path, positive, whole } from "./field.ts";
import { check, complete, trainFields } from "./train.ts";

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
] as const;
const SORTS = "it sorts all pairs of a batch, which are not computed at once here";
const OTHER = "it is another objective than a loss on pairs with a reference";

/** The peak learning rate where none is named. */
export const DPO_RATE = 5e-6;

const {
  full: _full,
  on_lora_failure: _fallback,
  loss_on: _lossOn,
  mask_prompt: _mask,
  neftune_alpha: _noise,
  map: _map,
  ...shared
} = trainFields;
/** What all training has and this one does not choose. */
const fixed: Pick<
  z.output<z.ZodObject<typeof trainFields>>,
  "full" | "on_lora_failure" | "loss_on" | "mask_prompt" | "neftune_alpha" | "map"
> = {
  full: false,
  on_lora_failure: "error",
  mask_prompt: true,
  neftune_alpha: 0,
};

/** Settings of direct preference optimisation. */
export const dpoFields = {
  ...shared,
  dropout: field(fraction().max(0.999).default(0), {
    group: "Adapter",
    aliases: ["lora-dropout"],
    value: "P",
    changes: "values",
    help: "dropout before the LoRA matrices; the reference has none",
  }),
  beta: field(positive().max(1000).default(0.1), {
    group: "Objective",
    aliases: ["dpo-beta"],
    value: "B",
    changes: "values",
    help: "how near the model stays to the reference: larger is nearer",
  }),
  loss_type: field(z.enum(LOSSES).default("sigmoid"), {
    group: "Objective",
    aliases: ["dpo-loss", "loss"],
    changes: "values",
    help: "the loss of a pair, by TRL's name; ipo_sum is ipo on sums over tokens",
    later: {
      aot: SORTS,
      aot_unpaired: SORTS,
      aot_pair: SORTS,
      orpo: OTHER,
      simpo: OTHER,
      kto: OTHER,
    },
  }),
  label_smoothing: field(fraction().max(0.999).optional(), {
    group: "Objective",
    aliases: ["label-smoothing-factor"],
    value: "E",
    changes: "values",
    help: "share of pairs thought to be the wrong way round: sigmoid, robust and exo_pair",
    otherwise: "0; 0.001 for exo_pair, which needs some; 0.1 for robust",
  }),
  reference: field(z.enum(["adapter-off", "cached", "free", "sft"]).default("adapter-off"), {
    group: "Objective",
    changes: "values",
    help: "compare with: the base without the adapter, its log-probabilities computed once, " +
      "nothing, or the adapter of --init-adapter as it was",
  }),
  reference_file: field(path().optional(), {
    group: "Objective",
    value: "FILE",
    help: "where --reference cached and sft keep log-probabilities",
    otherwise: "reference.json in the output folder",
  }),
  share_prompt: field(z.boolean().default(true), {
    group: "Objective",
    changes: "values",
    help: "compute the prompt once for both answers; never with --compute f16 or sliding windows",
    off: "compute the prompt once for each answer",
  }),
  min_pairs: field(whole(1).default(1), {
    group: "Objective",
    value: "N",
    help: "refuse to train with fewer pairs",
  }),
  lr: field(positive().max(10).default(DPO_RATE), {
    group: "Optimiser",
    aliases: ["learning-rate"],
    value: "R",
    changes: "values",
    help: "peak learning rate",
  }),
  epochs: field(positive().default(1), {
    group: "Length and batch",
    aliases: ["num-train-epochs", "num-epochs"],
    value: "N",
    help: "passes over the pairs",
    excludes: ["iters"],
  }),
  best: field(z.enum(["val_loss", "exact_match", "json_valid"]).default("val_loss"), {
    group: "Measuring and saving",
    aliases: ["metric-for-best-model"],
    changes: "values",
    help: "the measure by which a checkpoint is the best; the last two are those of --samples",
  }),
};

const SMOOTHING: Readonly<Record<string, readonly [usual: number, below: number]>> = {
  sigmoid: [0, 1],
  robust: [0.1, 0.5],
  exo_pair: [0.001, 1],
};

type Raw = z.output<z.ZodObject<typeof dpoFields>>;

function checkDpo(s: Raw, issues: z.RefinementCtx) {
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
  if (s.reference === "sft" && !s.init_adapter) {
    refuse("reference", "sft is the adapter that --init-adapter names");
  }
  if (s.reference_file && s.reference !== "cached" && s.reference !== "sft") {
    refuse("reference_file", "belongs to --reference cached and sft");
  }
}

export const dpoSettings = z.strictObject(dpoFields).superRefine(checkDpo).transform((s) =>
  complete({
    ...s,
    ...fixed,
    label_smoothing: s.label_smoothing ?? SMOOTHING[s.loss_type]?.[0] ?? 0,
  })
);

export type DpoSettings = z.output<typeof dpoSettings>;
