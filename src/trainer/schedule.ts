import { Exit, Fail } from "../base/fail.ts";

/** What follows the warm-up; wsd (warm-up, stable, decay) holds the peak and falls at the end. */
export type Schedule = "constant" | "linear" | "cosine" | "wsd";
/** How wsd falls. */
export type Fall = "cosine" | "linear" | "1-sqrt";

export interface ScheduleDetails {
  /** The last rate as a share of the peak, 0 unless told; of cosine and wsd only. */
  readonly minRatio?: number;
  /** The length of wsd's fall, given like the warm-up; a tenth of all steps unless told. */
  readonly decay?: number;
  /** Half a cosine unless told. */
  readonly fall?: Fall;
}

/** The steps of `total` that an amount stands for: a share, rounded up, below 1, else their number. */
export function stepsOf(amount: number, total: number): number {
  return amount < 1 ? Math.ceil(amount * total) : Math.floor(amount);
}

/** From 1 to 0 while progress goes from 0 to 1. */
const falls: Readonly<Record<Fall, (progress: number) => number>> = {
  cosine: (progress) => (1 + Math.cos(Math.PI * progress)) / 2,
  linear: (progress) => 1 - progress,
  "1-sqrt": (progress) => 1 - Math.sqrt(progress), // Hägele et al. 2024
};

/**
 * The learning rate of optimiser step `step`, counted from 0, as a share of the peak: the same numbers as
 * the schedulers of Hugging Face transformers (constant, linear and cosine with warm-up, cosine with a
 * minimal rate, warmup-stable-decay), so that the first step of a warm-up has rate 0. With `minRatio`, wsd
 * also starts there.
 * @param warmup steps in which the rate rises in a straight line: a share of all below 1, else a number
 * @param total optimiser steps of the run
 * @throws Fail (exit 2) when wsd's phases are together longer than the run
 */
export function scheduleOf(
  schedule: Schedule,
  warmup: number,
  total: number,
  { minRatio = 0, decay = 0.1, fall = "cosine" }: ScheduleDetails = {},
): (step: number) => number {
  const rise = stepsOf(warmup, total), descent = stepsOf(decay, total);
  if (schedule === "wsd" && rise + descent > total) {
    throw new Fail(
      `${rise} steps of warm-up and ${descent} of decay do not fit in ${total} steps`,
      {
        fix: "shorten one of them, or train for more steps",
        exit: Exit.usage,
      },
    );
  }
  const above = (share: number) => minRatio + (1 - minRatio) * share;
  const after = (begin: number, step: number) =>
    Math.min(1, Math.max(0, step - begin) / Math.max(1, total - begin));
  return (step) => {
    if (step < rise) return schedule === "wsd" ? above(step / rise) : step / rise;
    switch (schedule) {
      case "constant":
        return 1;
      case "linear":
        return falls.linear(after(rise, step));
      case "cosine":
        return above(falls.cosine(after(rise, step)));
      case "wsd":
        return step < total - descent ? 1 : above(falls[fall](after(total - descent, step)));
    }
  };
}
