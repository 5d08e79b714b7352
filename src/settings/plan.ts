import { z } from "zod";
import { checkEmbed, embedFields, marginOf } from "./embed.ts";
import { field, path, whole } from "./field.ts";
import { modelPath } from "./model.ts";
import { type ByAny, check, complete, trainFields } from "./train.ts";

/** What training has where a plan is told nothing. */
const batchOf = ({ batch, objective }: { batch?: number; objective: string }) =>
  batch ?? (objective === "embed" ? 16 : 8);

/** `whet plan` needs no rows, and knows how much memory there is to be. */
export const planSettings = z.strictObject({
  ...trainFields,
  model: field(z.array(modelPath()).min(1), {
    group: "Main",
    short: "m",
    aliases: ["model-name-or-path", "base-model"],
    value: "DIR",
    help: "the base model; with --table several, or a folder of models",
  }),
  data: field(path().optional(), {
    group: "Main",
    short: "d",
    aliases: ["dataset", "train-file", "train-data", "dataset-path"],
    value: "FILE",
    help: "training rows",
    otherwise: "how many rows is not known; each is as long as --max-seq allows",
  }),
  objective: field(z.enum(["sft", "dpo", "embed"]).default("sft"), {
    group: "Main",
    help:
      "plan for whet train sft, with its usual settings for dpo, or for whet train embed with " +
      "the settings under Objective",
  }),
  batch: field(whole(1).optional(), {
    group: "Length and batch",
    aliases: ["batch-size", "micro-batch-size", "per-device-train-batch-size"],
    value: "N",
    changes: "values",
    help: "rows in a batch",
    otherwise: "8; 16 with --objective embed",
  }),
  loss: embedFields.loss,
  distance: embedFields.distance,
  margin: embedFields.margin,
  scale: embedFields.scale,
  pooling: embedFields.pooling,
  task: embedFields.task,
  anchor_prompt: embedFields.anchor_prompt,
  text_prompt: embedFields.text_prompt,
  table: field(z.boolean().default(false), {
    group: "Main",
    help: "compare the models of -m, each with every way to train it and to keep its weights",
  }),
  probe: field(z.boolean().default(false), {
    group: "Main",
    help: "also load the model and take three steps, to tell the time; writes nothing",
  }),
  record: field(z.boolean().default(false), {
    group: "Main",
    help: "also print the recorded step: every op, its shapes and where its values lie",
  }),
}).superRefine((s, issues) => {
  const told = { ...s, batch: batchOf(s) };
  if (s.objective === "embed") checkEmbed({ ...told, min_triplets: 1 }, issues);
  else check(told, issues);
}).transform((s) => ({ ...complete({ ...s, batch: batchOf(s) }), margin: marginOf(s) }));

export type PlanSettings = ByAny<z.output<typeof planSettings>>;
