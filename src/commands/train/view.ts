import {
  humanBytes,
  humanSeconds,
  progressBar,
  short,
  sparkline,
  thousands,
} from "../../base/text.ts";
import { type EvalPoint, FOUND, type StepPoint } from "../../report/record.ts";
import type { Io } from "../io.ts";

/** What the loss means: a perplexity, or how often and how clearly the chosen answer is preferred. */
function besides(point: StepPoint | EvalPoint): string {
  const [right, margin] = [point["rewards/accuracies"], point["rewards/margins"]];
  const ppl = "ppl" in point && point.ppl !== undefined ? `  perplexity ${short(point.ppl)}` : "";
  const found = FOUND.flatMap((name) => {
    const value = "val_loss" in point ? point[name] : undefined;
    return value === undefined ? [] : [`  ${name} ${short(value)}`];
  });
  return right === undefined
    ? ppl + found.join("")
    : `${ppl}  right ${short(100 * right)} %  margin ${margin!.toFixed(4)}`;
}

/** How training looks: one live line on a terminal, a plain line every few steps elsewhere. */
export class TrainView {
  readonly #losses: number[] = [];
  #validation: number | undefined;
  #milliseconds = 0;

  constructor(
    private readonly io: Io,
    private readonly steps: number,
    private readonly every: number,
  ) {}

  /** Takes note of a step without showing it. */
  seen(point: StepPoint) {
    this.#losses.push(point.loss);
    // A running mean that forgets, so that the time left follows changes of speed.
    this.#milliseconds = this.#milliseconds === 0
      ? point.ms
      : 0.9 * this.#milliseconds + 0.1 * point.ms;
  }

  step(point: StepPoint) {
    this.seen(point);
    if (this.io.live) this.io.progress(this.line(point));
    else if (!this.io.json && (point.step % this.every === 0 || point.step === this.steps)) {
      this.io.note(this.plain(point));
    }
  }

  /** @param shown false where it lies in the past */
  measured(point: EvalPoint, shown = true) {
    this.#validation = point.val_loss;
    if (!shown) return;
    if (point.baseline) {
      return this.io.note(
        `untrained  val loss ${point.val_loss.toFixed(4)}${besides(point)}`,
      );
    }
    this.io.note(
      `epoch ${short(point.epoch)}  step ${point.step}  val loss ${point.val_loss.toFixed(4)}` +
        `${besides(point)}${
          point.exact_match === undefined ? "" : `  exact ${short(100 * point.exact_match)} %`
        }${point.best ? "  best so far" : ""}`,
    );
  }

  /** The line that is redrawn. */
  line(point: StepPoint): string {
    const { io, steps } = this;
    const left = ((steps - point.step) * this.#milliseconds) / 1000;
    return [
      `${progressBar(point.step / steps, 10, io.ascii)} ${point.step}/${steps}`,
      `loss ${point.loss.toFixed(4)}${besides(point)} ${
        io.paint("cyan", sparkline(this.#losses, 16, io.ascii))
      }`,
      ...(this.#validation === undefined ? [] : [`val ${this.#validation.toFixed(4)}`]),
      `lr ${short(point.lr)}`,
      `grad ${short(point.grad_norm)}`,
      `${thousands(point.tok_s)} tok/s`,
      humanBytes(point.mem_bytes),
      `${humanSeconds(left)} left`,
    ].join("  ");
  }

  /** The line of a log. */
  plain(point: StepPoint): string {
    return [
      `step ${point.step}/${this.steps}`,
      `epoch ${point.epoch.toFixed(2)}`,
      `loss ${point.loss.toFixed(4)}${besides(point)}`,
      ...(this.#validation === undefined ? [] : [`val ${this.#validation.toFixed(4)}`]),
      `lr ${short(point.lr)}`,
      `grad ${short(point.grad_norm)}`,
      `${thousands(point.tok_s)} tok/s`,
      humanBytes(point.mem_bytes),
    ].join("  ");
  }
}
