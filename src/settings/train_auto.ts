import { z } from "zod";
import { embedFields } from "./embed.ts";
import { field, path, positive, undecided, whole } from "./field.ts";
import { minimumFields, sourceFields } from "./telemetry.ts";
import { trainFields } from "./train.ts";

/**
 * Settings of `whet train auto`: the fields of S3's OrchestrationConfig by their names, and those of every
 * training that are worth passing on.
 */

/** Settings that mean something at a remote backend only. */
export const REMOTE_FIELDS = [
  "backend_provider",
  "gpu",
  "gpu_count",
  "cpu",
  "memory",
  "timeout",
] as const;

/** Settings that are passed on as they are to whichever training is chosen. */
export const PASSED_ON = [
  "val",
  "val_split",
  "tail",
  "template",
  "rank",
  "alpha",
  "target",
  "dropout",
  "layers",
  "init_adapter",
  "on_lora_failure",
  "scheduler",
  "warmup",
  "accum",
  "effective_batch",
  "max_seq",
  "overlong",
  "limit",
  "smoke",
  "quant",
  "double_quant",
  "compute",
  "grad_checkpoint",
  "micro_tokens",
  "target_mem",
  "eval_every",
  "samples",
  "save_every",
  "keep",
  "patience",
  "log_every",
  "report_to",
  "ui",
] as const;

const remote = (help: string) => ({ group: "Backend", help });

export const trainAutoSettings = z.strictObject({
  model: trainFields.model,
  from: field(z.array(path()).default(["phoenix"]), {
    group: "Main",
    short: "d",
    aliases: ["data", "dataset"],
    value: "FILES",
    help: "phoenix (the server), or files: exported spans, or rows that are made already",
  }),
  model_type: field(z.enum(["llm", "embedding"]).default("llm"), {
    group: "Main",
    help: "llm trains on examples or preferences, embedding on triplets",
  }),
  output: field(path().optional(), {
    group: "Main",
    short: "o",
    aliases: ["out"],
    value: "DIR",
    help: "the run folder",
    otherwise: "below --output-dir: {method}_{agent or modality}_{YYYYmmdd_HHMMSS}, in UTC",
  }),
  output_dir: field(path().default("outputs/adapters"), {
    group: "Main",
    value: "DIR",
    help: "the folder of such run folders",
  }),
  ...minimumFields,
  generate_synthetic: field(z.boolean().default(true), {
    group: "Synthetic rows",
    aliases: ["synthetic"],
    help: "where there are too few rows, have others written, which a person must approve",
    off: "too few rows are an error",
  }),
  teacher: field(z.string().min(1).optional(), {
    group: "Synthetic rows",
    value: "T",
    help:
      "who writes them, as for whet data generate: anthropic[:MODEL], openai:MODEL, local:DIR, " +
      "template with a CLI schema",
  }),
  schema: field(path().optional(), {
    group: "Synthetic rows",
    value: "FILE",
    help: "CLI schema or JSON Schema that their answers must fit",
    otherwise: "made of the answers that were approved",
  }),
  count: field(whole(1).max(1_000_000).optional(), {
    group: "Synthetic rows",
    value: "N",
    help: "rows to be written",
    otherwise: "as many as are missing, and a quarter more",
  }),
  max_cost: field(positive().optional(), {
    group: "Synthetic rows",
    value: "USD",
    help: "most dollars for them",
  }),
  queue: field(path().default("training/review"), {
    group: "Synthetic rows",
    value: "DIR",
    help: "where they wait for whet data review",
  }),
  epochs: field(positive().default(3), { ...infoOf("epochs", "passes over the rows") }),
  batch: field(whole(1).optional(), {
    ...infoOf("batch", "rows in a batch"),
    otherwise: "4; 16 for an embedding model",
  }),
  lr: field(positive().max(10).optional(), {
    ...infoOf("lr", "peak learning rate"),
    otherwise: "2e-4 below a billion weights, 5e-5 below six, else 2e-5; a fortieth of it for " +
      "preferences; 2e-5 for an embedding model",
  }),
  use_lora: field(z.boolean().default(true), {
    group: "Adapter",
    help: "train an adapter",
    off: "train all weights, for examples and triplets",
  }),
  ...undecided(trainFields, PASSED_ON, "as the chosen training has it"),
  beta: field(positive().max(1000).default(0.1), {
    group: "Objective",
    value: "B",
    help: "of preferences: how near the model stays to the reference",
  }),
  margin: field(positive().max(1000).optional(), {
    group: "Objective",
    value: "M",
    help: "of triplets: by how much a negative must be farther",
    otherwise: "as whet train embed has it",
  }),
  ...undecided(embedFields, ["distance", "pooling"], "as whet train embed has it"),
  backend_provider: field(z.enum(["modal", "sagemaker", "azure_ml"]).optional(), remote("whose")),
  gpu: field(z.string().optional(), { ...remote("which GPU there"), value: "NAME" }),
  gpu_count: field(whole(1).optional(), { ...remote("how many"), value: "N" }),
  cpu: field(whole(1).optional(), { ...remote("processors"), value: "N" }),
  memory: field(whole(1).optional(), { ...remote("memory in MB"), value: "MB" }),
  timeout: field(whole(1).optional(), { ...remote("seconds until it ends"), value: "S" }),
  ...sourceFields,
});

function infoOf(key: "epochs" | "batch" | "lr", help: string) {
  const aliases = {
    epochs: ["num-train-epochs", "num-epochs"],
    batch: ["batch-size", "per-device-train-batch-size"],
    lr: ["learning-rate"],
  }[key];
  return {
    group: key === "lr" ? "Optimiser" : "Length and batch",
    aliases,
    value: key === "lr" ? "R" : "N",
    help,
  };
}

export type TrainAutoSettings = z.output<typeof trainAutoSettings>;
