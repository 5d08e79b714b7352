import { expect, test } from "bun:test";
import type { Manifest } from "./record.ts";
import { trainingArgs } from "./training_args.ts";

const manifest: Manifest = {
  format: 1,
  kind: "sft",
  name: "garden",
  status: "finished",
  started: "2026-01-02T03:04:05.678Z",
  whet: { version: "0.1.0", commit: "abc" },
  device: {},
  settings: {
    output: "runs/garden",
    lr: 1e-3,
    batch: 2,
    accum: 4,
    epochs: 3,
    warmup: 0.1,
    betas: [0.8, 0.99],
    seed: 7,
    best: "val_ppl",
    eval_every: "epoch",
    grad_checkpoint: "auto",
    report_to: ["tensorboard"],
  },
  model: { path: "m" },
  data: { path: "d", rows: 10 },
  validation: { path: "v", rows: 10 },
  steps: 61,
};

test("settings under the names of transformers", () => {
  expect(trainingArgs(manifest)).toMatchObject({
    learning_rate: 1e-3,
    per_device_train_batch_size: 2,
    gradient_accumulation_steps: 4,
    max_steps: 61,
    warmup_steps: 7,
    adam_beta1: 0.8,
    data_seed: 7,
    eval_strategy: "epoch",
    save_strategy: "epoch",
    load_best_model_at_end: true,
    metric_for_best_model: "eval_ppl",
    greater_is_better: false,
    gradient_checkpointing: false,
    report_to: ["tensorboard"],
  });
});

test("follow the run where it differs", () => {
  const settings = { ...manifest.settings, warmup: 5, eval_every: 20, save_every: 30, iters: 40 };
  const computed = { micro_tokens: 64, recomputed_blocks: 2, bytes: {} };
  const args = trainingArgs({
    ...manifest,
    settings: { ...settings, best: "exact_match" },
    computed,
  });
  expect(args).toMatchObject({
    warmup_steps: 5,
    max_steps: 40,
    eval_steps: 20,
    save_steps: 30,
    greater_is_better: true,
    gradient_checkpointing: true,
  });
  expect(trainingArgs({ ...manifest, validation: undefined })).toMatchObject({
    do_eval: false,
    eval_strategy: "no",
    load_best_model_at_end: false,
  });
});
