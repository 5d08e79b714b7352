import { Exit, Fail } from "../base/fail.ts";
import type { Device } from "../gpu/device.ts";
import { pack } from "./layout.ts";
import type { Prepared } from "./prepare.ts";
import { scheduleOf } from "./schedule.ts";
import { supervised } from "./objectives/sft.ts";
import { objectiveOf } from "./program.ts";
import { type Inspected, type Moments, type StepResult, Trainer } from "./trainer.ts";

/** Everything needed to go on as if nothing had stopped. */
export interface Progress {
  readonly step: number;
  readonly tensors: ReadonlyMap<string, Moments>;
  readonly best: Best | undefined;
  /** Measurements since the best one. */
  readonly worse: number;
}

/** Measures of one moment by name, val_loss among them. */
export type Measures = Readonly<Record<string, number>>;

export interface Best {
  readonly step: number;
  readonly loss: number;
  /** Of the measure that the run is judged by. */
  readonly value: number;
}

export interface Measured {
  readonly step: number;
  readonly epoch: number;
  readonly measures: Measures;
  readonly best: boolean;
  /** Taken before the first step: what the base can do. */
  readonly baseline: boolean;
  readonly milliseconds: number;
}

/** Measures of which less is better; of all others more is. */
const LESS = ["val_loss", "val_ppl"];

/** Whether a measurement beats the best so far; equal ones are told apart by their loss. */
export function better(metric: string, now: Omit<Best, "step">, best: Best | undefined): boolean {
  if (!Number.isFinite(now.value)) return false;
  if (best === undefined) return true;
  if (now.value === best.value) return now.loss < best.loss;
  return LESS.includes(metric) ? now.value < best.value : now.value > best.value;
}

/** What a run tells while it goes on; all may be awaited. */
export interface Hooks {
  /** Asked before each step: who wants to see every trained tensor of it, if anybody. */
  inspect?(step: number): ((tensor: Inspected) => void) | undefined;
  step(result: StepResult): void | Promise<void>;
  /** Measures of whole answers, taken beside the loss at every measurement. */
  answers?(trainer: Trainer): Promise<Measures>;
  measured(result: Measured): void | Promise<void>;
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
  /** @returns whether this is the best so far */
  const measure = async (epoch: number): Promise<boolean> => {
    const began = performance.now(), { step } = trainer, baseline = step === 0;
    const { loss, measures: more } = await trainer.validate(validation, micro);
    const measures: Measures = {
      val_loss: loss,
      ...(objectiveOf(prepared.recipe).likelihood ? { val_ppl: Math.exp(loss) } : {}),
      ...more,
      ...await hooks.answers?.(trainer),
    };
    const now = { loss, value: measures[settings.best] ?? NaN };
    // The base has no weights of its own to keep, so it is never the best.
    const isBest = !baseline && better(settings.best, now, best);
    if (isBest) best = { step, ...now };
    if (!baseline) worse = isBest ? 0 : worse + 1;
    const milliseconds = performance.now() - began;
    await hooks.measured({ step, epoch, measures, best: isBest, baseline, milliseconds });
    return isBest;
  };

  const early = () => settings.patience !== undefined && worse >= settings.patience;

  if (validation.length > 0 && trainer.step === 0) await measure(0);
  while (trainer.step < batches.steps && !early()) {
    const result = await trainer.next(hooks.inspect?.(trainer.step + 1));
    if (!result.applied) {
      hooks.skipped(result, await trainer.notFinite());
      if (++failures === PATIENCE_NAN) throw diverged(result);
    } else failures = 0;
    await hooks.step(result);

    const isBest = validation.length > 0 && due(settings.eval_every, result.step) &&
      await measure(result.epoch);
    const stopping = hooks.stop();
    if (stopping || early() || isBest || due(settings.save_every, result.step)) await save(isBest);
    if (stopping) return { ending: "stopped", best };
  }
  return { ending: early() ? "early" : "finished", best };
}

function diverged({ step, loss, gradNorm }: StepResult): Fail {
  return new Fail(`training diverged at step ${step}: loss ${loss}, gradient norm ${gradNorm}`, {
    why: `${PATIENCE_NAN} steps in a row were not finite; none of them was applied`,
    fix: "lower --lr, or raise --warmup; the last checkpoint is intact",
    exit: Exit.diverged,
  });
}

/**
 * Records, loads and builds the run on a device: all that it will ever allocate.
 * @throws Fail (exit 5) when memory runs out; the device has then what it had before
 */
export async function start(
  device: Device,
  p: Prepared,
  progress?: (done: number, total: number) => void,
): Promise<Trainer> {
  const { settings } = p;
  const schedule = scheduleOf(settings.scheduler, settings.warmup, p.batches.steps, {
    minRatio: settings.min_lr_ratio,
    decay: settings.lr_decay,
    fall: settings.lr_decay_shape,
  });
  return await device.attempt(async () => {
    const trainer = await Trainer.create(device, p.model, p.recipe, p.rows, p.batches, {
      seed: settings.seed,
      betas: settings.betas,
      eps: settings.eps,
      weightDecay: settings.weight_decay,
      maxGradNorm: settings.max_grad_norm,
      rate: (step) => settings.lr * schedule(step),
    }, progress);
    if (p.validation.length > 0) await trainer.prepareValidation();
    return trainer;
  });
}
