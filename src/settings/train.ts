import { z } from "zod";
import { parseBytes } from "../base/text.ts";
import { field, fraction, path, positive, whole } from "./field.ts";
import { lossOnOf } from "./loss_on.ts";
import {
  checkQuant,
  computeField,
  doubleQuantField,
  jsonIndentField,
  mapField,
  modelField,
  quantField,
  systemField,
  templateField,
} from "./model.ts";

const LOSS_ON = "expected response, all, or section:NAME=W,NAME=W with weights from 0 to 1000";
const LAYERS = "expected 8-15, 0,2,5 or -4 for the last four";
const SIZE = "expected a size such as 16GB, 16GiB or 8e9, of at least 1MB";
/** Where metrics can go; jsonl is always written. */
const REPORT_TO = ["none", "jsonl", "tensorboard", "mlflow", "wandb"] as const;

/** The peak learning rate where none is named. */
export const PEAK_RATE = { adapter: 2e-4, full: 2e-5 };

/** Settings of supervised fine-tuning, all but where the result goes; `whet plan` takes the same. */
export const trainFields = {
  model: modelField(),
  data: field(path(), {
    group: "Main",
    short: "d",
    aliases: ["dataset", "train-file", "train-data", "dataset-path"],
    value: "FILE",
    changes: "rows",
    help: "training rows, one JSON object a line; - reads stdin",
  }),
  val: field(path().optional(), {
    group: "Main",
    aliases: ["val-data", "validation-file", "eval-file"],
    value: "FILE",
    changes: "rows",
    help: "rows to measure on, never trained",
  }),
  val_split: field(z.number().min(0).max(0.9).optional(), {
    group: "Main",
    aliases: ["val-ratio", "validation-split"],
    value: "F",
    changes: "rows",
    help: "without --val, the share of the rows to measure on instead of training them; 0 for none",
    otherwise: "0.1 where there are more than 100 rows",
  }),
  tail: field(z.boolean().default(false), {
    group: "Main",
    changes: "rows",
    help: "split the last rows off instead of rows chosen by the seed",
  }),
  output: field(path().optional(), {
    group: "Main",
    short: "o",
    aliases: ["output-dir", "out"],
    value: "DIR",
    help: "the run folder: adapter, checkpoints, metrics, report",
  }),
  template: templateField(),
  date: field(z.iso.date().optional(), {
    group: "Main",
    value: "YYYY-MM-DD",
    changes: "rows",
    help: "the day that is shown by chat templates which tell the model the date",
    otherwise: "today; where a run is resumed, the day it was begun",
  }),
  map: mapField(),
  system: systemField(),
  json_indent: jsonIndentField(),
  skip_bad: field(z.boolean().default(false), {
    group: "Main",
    changes: "rows",
    help: "pass over rows that cannot be used, at most one in a hundred",
  }),
  init_adapter: field(path().optional(), {
    group: "Main",
    value: "DIR",
    help: "continue from this PEFT adapter",
  }),

  rank: field(whole(1).max(4096).default(16), {
    group: "Adapter",
    aliases: ["lora-r", "lora-rank", "lora-dim"],
    value: "N",
    changes: "shapes",
    help: "rank of the LoRA matrices",
  }),
  alpha: field(positive().optional(), {
    group: "Adapter",
    aliases: ["lora-alpha"],
    value: "A",
    changes: "values",
    help: "scale of the adapter is alpha / rank",
    otherwise: "2 x rank",
  }),
  target: field(z.union([z.literal("all-linear"), z.array(z.string().min(1)).min(1)]).optional(), {
    group: "Adapter",
    aliases: ["lora-target-modules", "target-modules", "lora-target"],
    value: "NAMES",
    changes: "shapes",
    help: "layers that get an adapter: names joined by commas, or all-linear",
    otherwise: "the attention projections of the architecture",
  }),
  dropout: field(fraction().max(0.999).default(0.05), {
    group: "Adapter",
    aliases: ["lora-dropout"],
    value: "P",
    changes: "values",
    help: "dropout before the LoRA matrices",
  }),
  use_rslora: field(z.boolean().default(false), {
    group: "Adapter",
    aliases: ["rslora"],
    changes: "values",
    help: "scale by alpha / sqrt(rank)",
  }),
  use_dora: field(z.boolean().default(false), {
    group: "Adapter",
    aliases: ["dora"],
    changes: "shapes",
    help: "DoRA: the length of each adapted row is learnt apart from its direction",
  }),
  loraplus_ratio: field(positive().max(1000).default(1), {
    group: "Adapter",
    aliases: ["loraplus-lr-ratio"],
    value: "R",
    changes: "values",
    help: "LoRA+: learning rate of the B matrices as a multiple of --lr; 16 is usual",
  }),
  layers: field(
    z.coerce.string().regex(/^(-[1-9]\d*|\d+-\d+|\d+(,\d+)*)$/, LAYERS).optional(),
    {
      group: "Adapter",
      aliases: ["layers-to-transform"],
      value: "LAYERS",
      changes: "shapes",
      help: "blocks that get an adapter, counted from 0: 8-15, 0,2,5, or -4 for the last four",
      otherwise: "all of them",
    },
  ),
  on_lora_failure: field(z.enum(["error", "full"]).default("error"), {
    group: "Adapter",
    help: "where --target names no layer of the model: stop, or train all weights if that fits",
  }),
  full: field(z.boolean().default(false), {
    group: "Adapter",
    aliases: ["full-finetune"],
    changes: "shapes",
    help: "train all weights instead of an adapter",
  }),

  loss_on: field(z.string().refine((text) => lossOnOf(text) !== undefined, LOSS_ON).optional(), {
    group: "Objective",
    value: "WHAT",
    changes: "rows",
    help: "tokens that the loss counts: response, all (the prompt too), or the response with " +
      "<NAME>...</NAME> weighted, section:NAME=W,...; --val is always measured on plain responses",
    otherwise: "response",
  }),
  mask_prompt: field(z.boolean().default(true), {
    group: "Objective",
    changes: "rows",
    help: "train the answer only, never the prompt",
    off: "train the prompt too, as --loss-on all does",
  }),
  label_smoothing: field(fraction().max(0.999).default(0), {
    group: "Objective",
    aliases: ["label-smoothing-factor"],
    value: "E",
    changes: "values",
    help: "share of the target probability spread over the vocabulary; not in the validation loss",
  }),
  neftune_alpha: field(z.number().min(0).max(1000).default(0), {
    group: "Objective",
    aliases: ["neftune-noise-alpha"],
    value: "A",
    changes: "values",
    help:
      "uniform noise of up to A / sqrt(tokens x width) on embeddings, in training only; 5 is usual",
  }),

  lr: field(positive().max(10).optional(), {
    group: "Optimiser",
    aliases: ["learning-rate"],
    value: "R",
    changes: "values",
    help: "peak learning rate",
    otherwise: "2e-4, with --full 2e-5",
  }),
  scheduler: field(z.enum(["constant", "linear", "cosine", "wsd"]).default("cosine"), {
    group: "Optimiser",
    aliases: ["lr-scheduler-type", "lr-scheduler"],
    changes: "values",
    help: "learning rate after the warm-up; wsd stays at the peak and falls at the end",
  }),
  lr_decay: field(z.number().min(0).optional(), {
    group: "Optimiser",
    aliases: ["decay-ratio", "num-decay-steps"],
    value: "D",
    changes: "values",
    help: "the fall of wsd: a share of all steps where below 1, else a number of steps",
    otherwise: "0.1 with --scheduler wsd",
  }),
  lr_decay_shape: field(z.enum(["cosine", "linear", "1-sqrt"]).optional(), {
    group: "Optimiser",
    aliases: ["decay-type"],
    changes: "values",
    help: "how wsd falls",
    otherwise: "cosine with --scheduler wsd",
  }),
  min_lr_ratio: field(fraction().max(0.999).default(0), {
    group: "Optimiser",
    aliases: ["min-lr-rate"],
    value: "R",
    changes: "values",
    help: "the last learning rate as a share of --lr, for cosine and wsd",
  }),
  warmup: field(z.number().min(0).default(0.1), {
    group: "Optimiser",
    aliases: ["warmup-ratio", "warmup-steps"],
    value: "W",
    changes: "values",
    help: "share of all steps where below 1, else a number of steps",
  }),
  weight_decay: field(z.number().min(0).default(0.01), {
    group: "Optimiser",
    value: "W",
    changes: "values",
    help: "decoupled weight decay",
  }),
  max_grad_norm: field(z.number().min(0).default(1), {
    group: "Optimiser",
    value: "G",
    changes: "values",
    help: "clip the global gradient norm to this; 0 never clips",
  }),
  betas: field(
    z.tuple([fraction().max(0.99999999), fraction().max(0.99999999)]).default([0.9, 0.999]),
    {
      group: "Optimiser",
      value: "B1,B2",
      changes: "values",
      help: "AdamW's two decay rates",
    },
  ),
  eps: field(positive().default(1e-8), {
    group: "Optimiser",
    aliases: ["adam-epsilon"],
    value: "E",
    changes: "values",
    help: "AdamW's epsilon",
  }),

  epochs: field(positive().default(3), {
    group: "Length and batch",
    aliases: ["num-train-epochs", "num-epochs"],
    value: "N",
    help: "passes over the rows",
    excludes: ["iters"],
  }),
  iters: field(whole(1).optional(), {
    group: "Length and batch",
    aliases: ["max-steps"],
    value: "N",
    help: "optimiser steps, instead of --epochs",
    excludes: ["epochs"],
  }),
  batch: field(whole(1).default(8), {
    group: "Length and batch",
    aliases: ["batch-size", "micro-batch-size", "per-device-train-batch-size"],
    value: "N",
    changes: "values",
    help: "rows in a batch",
  }),
  accum: field(whole(1).default(1), {
    group: "Length and batch",
    aliases: ["grad-accumulation-steps", "gradient-accumulation-steps"],
    value: "N",
    changes: "values",
    help: "batches in one optimiser step",
    excludes: ["effective_batch"],
  }),
  effective_batch: field(whole(1).optional(), {
    group: "Length and batch",
    value: "N",
    help: "rows in one optimiser step, instead of --accum",
    excludes: ["accum"],
  }),
  max_seq: field(whole(8).default(2048), {
    group: "Length and batch",
    aliases: ["max-seq-length", "cutoff-len", "max-length"],
    value: "N",
    changes: "values",
    help: "longest row in tokens",
  }),
  overlong: field(z.enum(["drop", "error", "truncate"]).default("error"), {
    group: "Length and batch",
    changes: "rows",
    help: "what to do with longer rows",
  }),
  packing: field(z.boolean().default(false), {
    group: "Length and batch",
    changes: "values",
    help: "fill a step by tokens instead of counting rows",
  }),
  shuffle: field(z.boolean().default(true), {
    group: "Length and batch",
    changes: "values",
    help: "a new order of rows every epoch",
    off: "keep the rows in the order of the file",
  }),
  seed: field(whole().max(2 ** 32 - 1).default(42), {
    group: "Length and batch",
    value: "N",
    changes: "values",
    help: "of order, dropout and new adapter weights",
  }),
  limit: field(whole(1).optional(), {
    group: "Length and batch",
    value: "N",
    changes: "rows",
    help: "only the first N rows",
  }),
  smoke: field(z.boolean().default(false), {
    group: "Length and batch",
    changes: "rows",
    help: "three steps on the first rows, to see that all of it works",
  }),

  quant: quantField(),
  double_quant: doubleQuantField(),
  compute: computeField(),
  grad_checkpoint: field(z.enum(["auto", "on", "off"]).default("auto"), {
    group: "Model",
    aliases: ["gradient-checkpointing"],
    bare: "on",
    help: "compute each block again in the backward pass to save memory",
  }),
  micro_tokens: field(whole(1).optional(), {
    group: "Model",
    value: "N",
    help: "token places computed at once; a longer row takes what it needs",
    otherwise: "what computes fewest places and fits in memory",
  }),
  target_mem: field(
    z.coerce.string().refine((text) => parseBytes(text) !== undefined, SIZE).optional(),
    {
      group: "Model",
      value: "SIZE",
      help: "memory the run must fit in: 16GB (10^9 bytes), 16GiB (2^30) or a number of bytes",
      otherwise: "85 % of what this machine has free",
    },
  ),

  eval_every: field(z.union([z.literal("epoch"), whole(1)]).default("epoch"), {
    group: "Measuring and saving",
    aliases: ["eval-steps", "steps-per-eval"],
    value: "N",
    help: "measure on --val every N steps, or once an epoch",
  }),
  samples: field(whole().max(1000).default(5), {
    group: "Measuring and saving",
    value: "N",
    help: "answers generated to validation rows at each measurement, the same rows each time",
  }),
  save_every: field(whole(1).optional(), {
    group: "Measuring and saving",
    aliases: ["save-steps"],
    value: "N",
    help: "a checkpoint every N steps",
    otherwise: "once an epoch",
  }),
  keep: field(whole(1).default(3), {
    group: "Measuring and saving",
    aliases: ["save-total-limit"],
    value: "K",
    help: "checkpoints kept, the best one besides",
  }),
  best: field(z.enum(["val_loss", "val_ppl", "exact_match", "json_valid"]).default("val_loss"), {
    group: "Measuring and saving",
    aliases: ["metric-for-best-model"],
    changes: "values",
    help: "the measure by which a checkpoint is the best; the last two are those of --samples",
  }),
  patience: field(whole(1).optional(), {
    group: "Measuring and saving",
    aliases: ["early-stopping-patience"],
    value: "N",
    help: "stop after N measurements that are no better",
    otherwise: "never stops early",
  }),
  resume: field(path().optional(), {
    group: "Measuring and saving",
    aliases: ["resume-from-checkpoint"],
    value: "DIR",
    bare: "auto",
    help: "go on from a checkpoint; auto takes the newest in the output folder",
  }),
  allow_change: field(z.boolean().default(false), {
    group: "Measuring and saving",
    help: "resume although settings that change the numbers differ",
  }),
  ui: field(z.boolean().default(false), {
    group: "Measuring and saving",
    help: "a live page of the run in the browser, on this machine only",
  }),
  ui_port: field(whole().max(65535).default(0), {
    group: "Measuring and saving",
    value: "N",
    help: "port of that page; 0 takes the run's last one, or any that is free",
  }),
  log_every: field(whole(1).default(1), {
    group: "Measuring and saving",
    aliases: ["logging-steps", "steps-per-report"],
    value: "N",
    help: "lines of progress where stderr is not a terminal",
  }),
  report_to: field(z.array(z.enum(REPORT_TO)).min(1).default(["none"]), {
    group: "Measuring and saving",
    value: "WHERE",
    help: "where metrics go besides metrics.jsonl: tensorboard, mlflow, wandb, joined by commas",
  }),
  mlflow_uri: field(path().optional(), {
    group: "Measuring and saving",
    value: "URL",
    help: "the MLflow server; keys only as MLFLOW_TRACKING_TOKEN, or _USERNAME and _PASSWORD",
    otherwise: "MLFLOW_TRACKING_URI",
  }),
  experiment: field(path().optional(), {
    group: "Measuring and saving",
    value: "NAME",
    help: "the experiment at MLflow, made where there is none",
    otherwise: "MLFLOW_EXPERIMENT_NAME, or whet",
  }),
};

type Raw = z.output<z.ZodObject<typeof trainFields>>;

/** What holds between settings. */
export function check(s: Partial<Omit<Raw, "model">>, issues: z.RefinementCtx) {
  const refuse = (key: string, message: string) =>
    issues.addIssue({ code: "custom", path: [key], message });
  const { effective_batch, batch = 1, warmup = 0, val } = s;
  checkQuant(s, issues);
  if (effective_batch !== undefined && effective_batch % batch !== 0) {
    refuse("effective_batch", `must be a multiple of --batch ${batch}`);
  }
  if (s.full && s.init_adapter) {
    refuse("full", "trains all weights and leaves no adapter to continue");
  }
  if (s.mask_prompt === false && s.loss_on !== undefined && s.loss_on !== "all") {
    refuse(
      "mask_prompt",
      `--no-mask-prompt trains the prompt too, --loss-on ${s.loss_on} does not`,
    );
  }
  if (s.full && s.loraplus_ratio !== undefined && s.loraplus_ratio !== 1) {
    refuse("loraplus_ratio", "is for the matrices of an adapter, and --full has none");
  }
  if (s.full && s.use_dora) {
    refuse("use_dora", "is a form of adapter, and --full has none");
  }
  if (s.use_dora && s.compute === "f16") {
    refuse("use_dora", "is computed in f32 only, without --compute f16");
  }
  if (s.full && s.layers !== undefined) {
    refuse("layers", "says which blocks get an adapter, and --full trains all weights");
  }
  if (s.full && s.on_lora_failure === "full") {
    refuse(
      "on_lora_failure",
      "says what follows when no adapter can be made, and --full makes none",
    );
  }
  if (s.on_lora_failure === "full" && s.quant !== undefined && s.quant !== "none") {
    refuse("on_lora_failure", `full trains all weights, and --quant ${s.quant} keeps them frozen`);
  }
  if (s.on_lora_failure === "full" && s.init_adapter) {
    refuse("on_lora_failure", "full leaves no adapter to continue");
  }
  if (warmup > 1 && !Number.isInteger(warmup)) {
    refuse("warmup", "must be a share below 1 or a whole number of steps");
  }
  if (s.scheduler !== "wsd") {
    for (const key of ["lr_decay", "lr_decay_shape"] as const) {
      if (s[key] !== undefined) refuse(key, "belongs to --scheduler wsd");
    }
  }
  const { lr_decay = 0.1 } = s;
  if (lr_decay > 1 && !Number.isInteger(lr_decay)) {
    refuse("lr_decay", "must be a share below 1 or a whole number of steps");
  }
  if (s.scheduler === "wsd" && warmup < 1 && lr_decay < 1 && warmup + lr_decay > 1) {
    refuse("lr_decay", `and --warmup ${warmup} are more than the whole run`);
  }
  if (s.min_lr_ratio && (s.scheduler === "constant" || s.scheduler === "linear")) {
    refuse("min_lr_ratio", `belongs to cosine and wsd, not to --scheduler ${s.scheduler}`);
  }
  if (val && s.val_split) {
    refuse("val_split", "splits rows off, and --val names others to measure on");
  }
  if (s.patience !== undefined && !val && s.val_split === 0) {
    refuse("patience", "needs rows to measure on: --val FILE, or no --val-split 0");
  }
  if (["exact_match", "json_valid"].includes(s.best ?? "") && s.samples === 0) {
    refuse("best", "is measured on generated answers: --samples 30 or more");
  }
  if (s.report_to && s.report_to.length > 1 && s.report_to.includes("none")) {
    refuse("report_to", "none goes with no other");
  }
  if (s.data === "-" && val === "-") {
    refuse("val", "stdin cannot be both the training rows and these");
  }
}

/** Fills what follows from other settings. */
export function complete<T extends Omit<Raw, "model" | "data" | "output">>(s: T) {
  return {
    ...s,
    alpha: s.alpha ?? 2 * s.rank,
    lr: s.lr ?? (s.full ? PEAK_RATE.full : PEAK_RATE.adapter),
    accum: s.effective_batch === undefined ? s.accum : s.effective_batch / s.batch,
    loss_on: s.loss_on ?? (s.mask_prompt ? "response" : "all"),
    mask_prompt: s.mask_prompt && s.loss_on !== "all",
    lr_decay: s.scheduler === "wsd" ? s.lr_decay ?? 0.1 : undefined,
    lr_decay_shape: s.scheduler === "wsd" ? s.lr_decay_shape ?? "cosine" as const : undefined,
    iters: s.smoke ? Math.min(s.iters ?? 3, 3) : s.iters,
  };
}

export const trainSettings = z.strictObject(trainFields).superRefine(check).transform(complete);

/** The measure by which weights are the best is of each objective's own. */
export type ByAny<S extends { readonly best: string }> = Omit<S, "best"> & {
  readonly best: string;
};

/** A run's settings with everything filled that follows from others: nothing left to guess. */
export type TrainSettings = ByAny<z.output<typeof trainSettings>>;
