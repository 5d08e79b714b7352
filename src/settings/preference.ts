import { z } from "zod";
import { field, fraction, path, positive, whole } from "./field.ts";
import { trainFields } from "./train.ts";

/** The peak learning rate where none is named. */
export const PREFERENCE_RATE = 5e-6;

const {
  on_lora_failure: _fallback,
  loss_on: _lossOn,
  mask_prompt: _mask,
  neftune_alpha: _noise,
  map: _map,
  system: _system,
  ...shared
} = trainFields;
/** What all training has and this one does not choose. */
export const fixed: Pick<
  z.output<z.ZodObject<typeof trainFields>>,
  "on_lora_failure" | "loss_on" | "mask_prompt" | "neftune_alpha" | "map" | "system"
> = {
  on_lora_failure: "error",
  mask_prompt: true,
  neftune_alpha: 0,
};

/** Settings of every training on answers that are better or worse than others. */
export const preferenceFields = {
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
  lr: field(positive().max(10).default(PREFERENCE_RATE), {
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

/** Settings of a reference to compare with. */
export const referenceFields = {
  reference: field(z.enum(["adapter-off", "cached", "free", "sft"]).optional(), {
    group: "Objective",
    changes: "values",
    help: "compare with: the base without the adapter, its log-probabilities computed once, " +
      "nothing, or the adapter of --init-adapter as it was",
    otherwise: "adapter-off; with --full, which has no adapter, cached",
  }),
  reference_file: field(path().optional(), {
    group: "Objective",
    value: "FILE",
    help: "where --reference cached and sft keep log-probabilities",
    otherwise: "reference.json in the output folder",
  }),
};

type Raw = z.output<z.ZodObject<typeof preferenceFields & typeof referenceFields>>;

/** Refuses a reference that the other settings cannot give. */
export function checkReference(
  s: Pick<Raw, "full" | "reference" | "reference_file" | "init_adapter">,
  issues: z.RefinementCtx,
) {
  const refuse = (key: string, message: string) =>
    issues.addIssue({ code: "custom", path: [key], message });
  const { reference = s.full ? "cached" : "adapter-off" } = s;
  if (s.full && reference === "adapter-off") {
    refuse("reference", "adapter-off has no meaning with --full: cached, or free");
  }
  if (reference === "sft" && !s.init_adapter) {
    refuse("reference", "sft is the adapter that --init-adapter names");
  }
  if (s.reference_file && reference !== "cached" && reference !== "sft") {
    refuse("reference_file", "belongs to --reference cached and sft");
  }
}

export const referenceOf = ({ full, reference }: Pick<Raw, "full" | "reference">) =>
  reference ?? (full ? "cached" as const : "adapter-off" as const);
