import { Exit, Fail } from "../base/fail.ts";

export const schedulers = ["constant", "linear", "cosine", "wsd"] as const;

export interface ScheduleSettings {
  /** What follows the warm-up; wsd holds the peak and falls along a half cosine at the end. */
  readonly scheduler: (typeof schedulers)[number];
  /** Peak learning rate. */
  readonly lr: number;
  /** Share of all steps where below 1, else a number of steps; the rate rises in a straight line. */
  readonly warmup: number;
  /** Last rate as a share of the peak, 0 unless told; not for constant. */
  readonly minRatio?: number;
  /** Length of wsd's fall, given like `warmup`; a tenth of all steps unless told. */
  readonly decay?: number;
}

/** Steps that a share (rounded up) or a number of steps stands for. */
export function stepsOf(amount: number, total: number): number {
  return amount < 1 ? Math.ceil(amount * total) : Math.floor(amount);
}

/**
 * The learning rate of optimiser step `step`, counted from 0, of `total`: the same numbers as the
 * schedulers of Hugging Face transformers (constant, linear, cosine with warm-up; cosine with a minimal
 * rate; warmup-stable-decay), so that the very first step of a warm-up has rate 0. With `minRatio`, linear
 * ends there too, and wsd also starts there.
 * @throws Fail when warm-up and decay are together longer than the run
 */
export function schedule(settings: ScheduleSettings, total: number): (step: number) => number {
  const { scheduler, lr, minRatio = 0 } = settings;
  const warmup = stepsOf(settings.warmup, total);
  const decay = scheduler === "wsd" ? stepsOf(settings.decay ?? 0.1, total) : 0;
  if (scheduler === "wsd" && warmup + decay > total) {
    throw new Fail(
      `${warmup} steps of warm-up and ${decay} of decay do not fit in ${total} steps`,
      {
        fix: "shorten one of them, or train for more steps",
        exit: Exit.usage,
      },
    );
  }
  const above = (share: number) => minRatio + (1 - minRatio) * share;
  const done = (step: number) => Math.min(1, (step - warmup) / Math.max(1, total - warmup));
  const halfCosine = (progress: number) => (1 + Math.cos(Math.PI * progress)) / 2;
  const factor = (step: number) => {
    if (step < warmup) return scheduler === "wsd" ? above(step / warmup) : step / warmup;
    switch (scheduler) {
      case "constant":
        return 1;
      case "linear":
        return above(1 - done(step));
      case "cosine":
        return above(halfCosine(done(step)));
      case "wsd":
        return above(
          halfCosine(Math.min(1, Math.max(0, (step - (total - decay)) / Math.max(1, decay)))),
        );
    }
  };
  return (step) => lr * factor(step);
}
