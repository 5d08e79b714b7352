import { totalmem } from "node:os";
import type { Model } from "../architectures/model.ts";
import type { TokenRow } from "../architectures/packed.ts";
import { Exit, Fail } from "../base/fail.ts";
import type { Device } from "../gpu/device.ts";
import type { Lora } from "../nn/net.ts";
import { type BatchPlan, layOut, pack } from "./layout.ts";
import { fitRun, type RunPlan } from "./plan.ts";
import type { Recipe } from "./program.ts";
import { type Schedule, scheduleOf } from "./schedule.ts";
import { type Inspected, type Moments, type StepResult, supervised, Trainer } from "./trainer.ts";

/** The numeric settings of a run: everything a resumed run must agree with. */
export interface RunSettings {
  readonly full: boolean;
  readonly rank: number;
  readonly alpha: number;
  readonly use_rslora: boolean;
  readonly dropout: number;
  readonly lr: number;
  readonly scheduler: Schedule;
  readonly warmup: number;
  readonly weight_decay: number;
  readonly max_grad_norm: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly epochs: number;
  readonly iters?: number;
  readonly batch: number;
  readonly accum: number;
  readonly max_seq: number;
  readonly packing: boolean;
  readonly shuffle: boolean;
  readonly seed: number;
  readonly grad_checkpoint: "auto" | "on" | "off";
  readonly eval_every: "epoch" | number;
  readonly save_every?: number;
  readonly patience?: number;
}

/** A run laid out, before any GPU: its batches, its recorded shapes, its memory. */
export interface Prepared {
  readonly model: Model;
  readonly rows: readonly TokenRow[];
  readonly validation: readonly TokenRow[];
  readonly settings: RunSettings;
  readonly lora: Lora | undefined;
  readonly batches: BatchPlan;
  readonly recipe: Recipe;
  readonly plan: RunPlan;
}

const up = (n: number) => Math.ceil(n / 64) * 64;
/** Most tokens of one micro-batch, unless a single row is longer. */
const BUDGET = 2048;
/** The share of this machine's memory that a run is fitted to by computing blocks again. */
const KEEP_SHARE = 0.25;

/**
 * Lays a run out. `targets` are the last names of the modules that get an adapter.
 * @throws Fail (exit 3) for an empty dataset; (exit 2) when a target names no module of the model
 */
export function prepare(
  model: Model,
  rows: readonly TokenRow[],
  validation: readonly TokenRow[],
  targets: readonly string[],
  settings: RunSettings,
): Prepared {
  const lora = settings.full ? undefined : adapterOf(model, targets, settings);
  const length = (row: TokenRow) => ({ tokens: row.ids.length, targets: supervised(row) });
  const lengths = rows.map(length), checks = validation.map(length);
  const longest = [...lengths, ...checks].reduce((most, row) => Math.max(most, row.tokens), 1);
  const batches = layOut(lengths, {
    rows: settings.batch * settings.accum,
    fill: settings.packing,
    epochs: settings.epochs,
    iterations: settings.iters,
    seed: settings.seed,
    shuffle: settings.shuffle,
    budget: Math.max(settings.packing ? Math.min(settings.max_seq, BUDGET) : BUDGET, up(longest)),
  });
  const most = pack([...checks.keys()], checks, batches.size.tokens)
    .map((bin) => bin.reduce((sum, row) => sum + checks[row]!.targets, 0))
    .reduce((a, b) => Math.max(a, b), 0);
  const size = { ...batches.size, targets: Math.max(batches.size.targets, up(most)) };
  const recipe = { size, positions: longest, lora, full: settings.full };
  const budget = totalmem() * KEEP_SHARE;
  const fitted = fitRun(model, recipe, validation.length > 0, budget, settings.grad_checkpoint);
  return { model, rows, validation, settings, lora, batches, ...fitted };
}

function adapterOf(model: Model, targets: readonly string[], settings: RunSettings): Lora {
  const known = model.architecture.linears;
  const unknown = targets.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new Fail(`this model has no module named ${unknown.join(", ")}`, {
      why: `its linear layers are ${known.join(", ")}`,
      fix: `--target ${model.architecture.defaultTargets.join(",")}, or --target all-linear`,
      exit: Exit.usage,
    });
  }
  const chosen = new Set(targets);
  return {
    rank: settings.rank,
    alpha: settings.alpha,
    rslora: settings.use_rslora,
    dropout: settings.dropout,
    targets: (module) => chosen.has(module.slice(module.lastIndexOf(".") + 1)),
  };
}

/** Everything needed to go on as if nothing had stopped. */
export interface Progress {
  readonly step: number;
  readonly tensors: ReadonlyMap<string, Moments>;
  readonly best: Best | undefined;
  /** Measurements since the best one. */
  readonly worse: number;
}

export interface Best {
  readonly step: number;
  readonly loss: number;
}

export interface Measured {
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  readonly perplexity: number;
  readonly best: boolean;
  readonly milliseconds: number;
}

/** What a run tells while it goes on; all may be awaited. */
export interface Hooks {
  /** Asked before each step: who wants to see every trained tensor of it, if anybody. */
  inspect?(step: number): ((tensor: Inspected) => void) | undefined;
  step(result: StepResult): void | Promise<void>;
  measured(result: Measured, trainer: Trainer): void | Promise<void>;
  save(progress: Progress, best: boolean, trainer: Trainer): Promise<void>;
  /** A step that was not applied because loss or gradient was not finite, and the tensors to blame. */
  skipped(result: StepResult, tensors: readonly string[]): void;
  /** Whether to stop after the step that is done. */
  stop(): boolean;
}

export type Ending = "finished" | "stopped" | "early";

/** Steps in a row that may fail before the run is given up. */
const PATIENCE_NAN = 3;

/**
 * Trains from wherever `trainer` stands to the end: steps, measurements, checkpoints.
 * @throws Fail (exit 6) after three steps in a row whose loss or gradient was not finite
 */
export async function train(
  trainer: Trainer,
  prepared: Prepared,
  hooks: Hooks,
  from?: Pick<Progress, "best" | "worse">,
): Promise<{ ending: Ending; best: Best | undefined }> {
  const { settings, batches, validation } = prepared;
  const perEpoch = batches.stepsPerEpoch;
  const due = (every: number | "epoch" | undefined, step: number) =>
    step === batches.steps ||
    step % (every === undefined || every === "epoch" ? perEpoch : every) === 0;
  const checks = validation.map((row) => ({ tokens: row.ids.length, targets: supervised(row) }));
  const micro = pack([...checks.keys()], checks, prepared.recipe.size.tokens);

  let best = from?.best, worse = from?.worse ?? 0, failures = 0;
  const save = async (isBest: boolean) =>
    hooks.save(
      { step: trainer.step, tensors: await trainer.moments(), best, worse },
      isBest,
      trainer,
    );

  if (validation.length > 0) await trainer.prepareValidation();
  while (trainer.step < batches.steps) {
    const result = await trainer.next(hooks.inspect?.(trainer.step + 1));
    if (!result.applied) {
      hooks.skipped(result, await trainer.notFinite());
      if (++failures === PATIENCE_NAN) throw diverged(result);
    } else failures = 0;
    await hooks.step(result);

    let isBest = false;
    if (validation.length > 0 && due(settings.eval_every, result.step)) {
      const began = performance.now(), loss = await trainer.validate(validation, micro);
      isBest = Number.isFinite(loss) && (best === undefined || loss < best.loss);
      if (isBest) best = { step: result.step, loss };
      worse = isBest ? 0 : worse + 1;
      await hooks.measured({
        step: result.step,
        epoch: result.epoch,
        loss,
        perplexity: Math.exp(loss),
        best: isBest,
        milliseconds: performance.now() - began,
      }, trainer);
    }
    const stopping = hooks.stop();
    const early = settings.patience !== undefined && worse >= settings.patience;
    if (stopping || early || isBest || due(settings.save_every, result.step)) await save(isBest);
    if (stopping) return { ending: "stopped", best };
    if (early) return { ending: "early", best };
  }
  return { ending: "finished", best };
}

function diverged({ step, loss, gradNorm }: StepResult): Fail {
  return new Fail(`training diverged at step ${step}: loss ${loss}, gradient norm ${gradNorm}`, {
    why: `${PATIENCE_NAN} steps in a row were not finite; none of them was applied`,
    fix: "lower --lr, or raise --warmup; the last checkpoint is intact",
    exit: Exit.diverged,
  });
}

/** Records, loads and builds the run on a device. */
export function start(
  device: Device,
  p: Prepared,
  progress?: (done: number, total: number) => void,
): Promise<Trainer> {
  const { settings } = p;
  const schedule = scheduleOf(settings.scheduler, settings.warmup, p.batches.steps);
  return Trainer.create(device, p.model, p.recipe, p.rows, p.batches, {
    seed: settings.seed,
    betas: settings.betas,
    eps: settings.eps,
    weightDecay: settings.weight_decay,
    maxGradNorm: settings.max_grad_norm,
    rate: (step) => settings.lr * schedule(step),
  }, progress);
}
