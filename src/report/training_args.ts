import type { Manifest } from "./record.ts";

/**
 * A run's settings under the names of transformers' TrainingArguments and trl's SFTConfig, for those who
 * look for them there; what neither has a name for stands in run.json alone.
 */
export function trainingArgs(
  { name, settings: s, steps, validation, computed, whet }: Manifest,
): Record<string, unknown> {
  const warmup = Number(s.warmup ?? 0);
  const [beta1, beta2] = (s.betas ?? [0.9, 0.999]) as readonly number[];
  const measured = validation === undefined
    ? "no"
    : typeof s.eval_every === "number"
    ? "steps"
    : "epoch";
  const best = String(s.best ?? "val_loss");
  return {
    output_dir: s.output,
    run_name: name,
    do_train: true,
    do_eval: validation !== undefined,
    learning_rate: s.lr,
    per_device_train_batch_size: s.batch,
    gradient_accumulation_steps: s.accum,
    num_train_epochs: s.epochs,
    max_steps: s.iters ?? steps,
    ...schedulerArgs(s, steps),
    warmup_ratio: warmup < 1 ? warmup : 0,
    warmup_steps: warmup < 1 ? Math.ceil(warmup * steps) : warmup,
    weight_decay: s.weight_decay,
    adam_beta1: beta1,
    adam_beta2: beta2,
    adam_epsilon: s.eps,
    label_smoothing_factor: s.label_smoothing ?? 0,
    neftune_noise_alpha: s.neftune_alpha || null,
    max_grad_norm: s.max_grad_norm,
    optim: "adamw_torch",
    seed: s.seed,
    data_seed: s.seed,
    fp16: s.compute === "f16",
    bf16: false,
    max_seq_length: s.max_seq,
    max_length: s.max_seq,
    packing: s.packing,
    completion_only_loss: s.loss_on !== "all",
    gradient_checkpointing: computed ? computed.recomputed_blocks > 0 : s.grad_checkpoint === "on",
    eval_strategy: measured,
    eval_steps: measured === "steps" ? s.eval_every : null,
    save_strategy: s.save_every === undefined ? "epoch" : "steps",
    save_steps: s.save_every ?? null,
    save_total_limit: s.keep,
    load_best_model_at_end: validation !== undefined,
    metric_for_best_model: best.replace(/^val_/, "eval_"),
    greater_is_better: !best.startsWith("val_"),
    early_stopping_patience: s.patience ?? null,
    logging_strategy: "steps",
    logging_steps: 1,
    report_to: s.report_to,
    resume_from_checkpoint: s.resume ?? null,
    whet_version: whet.version,
  };
}

/** transformers' names of the schedulers and of what they are given. */
function schedulerArgs(s: Manifest["settings"], steps: number): Record<string, unknown> {
  const low = Number(s.min_lr_ratio ?? 0), decay = Number(s.lr_decay ?? 0.1);
  if (s.scheduler === "wsd") {
    const num_decay_steps = decay < 1 ? Math.ceil(decay * steps) : decay;
    const kwargs = { num_decay_steps, decay_type: s.lr_decay_shape, min_lr_ratio: low };
    return { lr_scheduler_type: "warmup_stable_decay", lr_scheduler_kwargs: kwargs };
  }
  if (s.scheduler === "cosine" && low > 0) {
    return { lr_scheduler_type: "cosine_with_min_lr", lr_scheduler_kwargs: { min_lr_rate: low } };
  }
  return { lr_scheduler_type: s.scheduler };
}
