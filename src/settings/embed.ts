import { z } from "zod";
import { field, positive, whole } from "./field.ts";
import { poolingField, taskField } from "./model.ts";
import { type ByAny, check, complete, trainFields } from "./train.ts";

const {
  template: _template,
  date: _date,
  map: _map,
  system: _system,
  json_indent: _indent,
  skip_bad: _skip,
  loss_on: _lossOn,
  mask_prompt: _mask,
  neftune_alpha: _noise,
  label_smoothing: _smoothing,
  packing: _packing,
  overlong: _overlong,
  samples: _samples,
  ...shared
} = trainFields;

/** What all training has and this one does not choose. */
const fixed: Omit<z.output<z.ZodObject<typeof trainFields>>, keyof typeof shared> = {
  template: undefined,
  date: undefined,
  map: undefined,
  system: undefined,
  json_indent: 0,
  skip_bad: false,
  loss_on: undefined,
  mask_prompt: true,
  neftune_alpha: 0,
  label_smoothing: 0,
  packing: false,
  overlong: "truncate",
  samples: 0,
};

/** Measures of validation rows by which weights may be the best; of all but the loss more is better. */
export const EMBED_MEASURES = [
  "val_loss",
  "recall@1",
  "recall@5",
  "recall@10",
  "mrr@10",
  "ndcg@10",
  "accuracy",
] as const;

/** Settings of contrastive training. */
export const embedFields = {
  ...shared,
  loss: field(z.enum(["triplet", "mnr", "contrastive"]).default("triplet"), {
    group: "Objective",
    aliases: ["loss-type"],
    changes: "values",
    help: "triplet; mnr ranks the positive among all texts of the batch (multiple negatives " +
      "ranking); contrastive takes pairs",
  }),
  distance: field(z.enum(["cosine", "l2", "dot"]).default("cosine"), {
    group: "Objective",
    aliases: ["distance-metric"],
    changes: "values",
    help: "how far two embeddings are: 1 - cosine, Euclidean (l2), or minus their product (dot)",
  }),
  margin: field(positive().max(1000).optional(), {
    group: "Objective",
    aliases: ["triplet-margin"],
    value: "M",
    changes: "values",
    help: "by how much a negative must be farther; for contrastive, how far it must be",
    otherwise: "0.5; 5 for --distance l2",
  }),
  scale: field(positive().max(1000).default(20), {
    group: "Objective",
    value: "S",
    changes: "values",
    help: "what cosines are multiplied with, for --loss mnr",
  }),
  pooling: poolingField(),
  task: taskField(),
  anchor_prompt: field(z.string().default(""), {
    group: "Objective",
    aliases: ["query-prompt"],
    value: "TEXT",
    changes: "rows",
    help: "what stands before every anchor",
  }),
  text_prompt: field(z.string().default(""), {
    group: "Objective",
    aliases: ["document-prompt"],
    value: "TEXT",
    changes: "rows",
    help: "what stands before every positive and negative",
  }),
  min_triplets: field(whole(1).default(1), {
    group: "Objective",
    value: "N",
    help: "refuse to train with fewer rows",
  }),
  batch: field(whole(1).default(16), {
    group: "Length and batch",
    aliases: ["batch-size", "micro-batch-size", "per-device-train-batch-size"],
    value: "N",
    changes: "values",
    help:
      "rows in a batch; with --loss mnr each is told from all others of it, and no text is in it twice",
  }),
  best: field(z.enum(EMBED_MEASURES).default("val_loss"), {
    group: "Measuring and saving",
    aliases: ["metric-for-best-model"],
    changes: "values",
    help: "the measure by which a checkpoint is the best",
  }),
};

type Raw = z.output<z.ZodObject<typeof embedFields>>;

/** What holds between the settings of contrastive training. */
export function checkEmbed(
  { best: _, ...s }: Omit<Raw, "best" | "data" | "model"> & { best: string },
  issues: z.RefinementCtx,
) {
  const refuse = (key: string, message: string) =>
    issues.addIssue({ code: "custom", path: [key], message });
  check(s, issues);
  if (s.loss !== "mnr") {
    if (s.loss === "contrastive" && s.distance === "dot") {
      refuse("distance", "dot can be negative, and --loss contrastive needs a distance");
    }
    return;
  }
  if (s.distance === "l2") refuse("distance", "l2 has no ranking: --loss mnr takes cosine or dot");
  if (s.margin !== undefined) refuse("margin", "has no meaning with --loss mnr: see --scale");
  if (s.accum > 1 || (s.effective_batch ?? s.batch) !== s.batch) {
    refuse("accum", "does not add negatives: with --loss mnr a larger --batch does");
  }
  if (s.batch < 2) refuse("batch", "of one row has nothing to rank with --loss mnr");
}

/** The margin where none is told. */
export const marginOf = ({ loss, distance, margin }: Pick<Raw, "loss" | "distance" | "margin">) =>
  loss === "mnr" ? undefined : margin ?? (distance === "l2" ? 5 : 0.5);

export const trainEmbedSettings = z.strictObject(embedFields).superRefine(checkEmbed)
  .transform((s) => ({
    ...complete({ ...s, ...fixed, best: "val_loss" as const }),
    best: s.best,
    margin: marginOf(s),
  }));

export type TrainEmbedSettings = ByAny<z.output<typeof trainEmbedSettings>>;
