/** What goes wrong while a run goes on, told once: a loss that leaves, rows learnt by heart. */
export class Watch {
  #smooth = 0;
  #weight = 0;
  #lowest = Infinity;
  #best: { step: number; loss: number; train: number } | undefined;
  #rises = 0;
  readonly #told = new Set<string>();

  /** @returns a warning, where the smoothed loss is twice (and one nat above) its lowest */
  step(step: number, loss: number): string | undefined {
    if (!Number.isFinite(loss)) return undefined;
    const keep = Math.exp(-1 / 10);
    this.#smooth = keep * this.#smooth + (1 - keep) * loss;
    this.#weight = keep * this.#weight + (1 - keep);
    const now = this.#train;
    if (step >= 10) this.#lowest = Math.min(this.#lowest, now);
    if (now > 2 * this.#lowest && now > this.#lowest + 1) {
      return this.#once(
        "diverging",
        `the loss rises: ${now.toFixed(3)} smoothed at step ${step}, its lowest was ` +
          this.#lowest.toFixed(3),
      );
    }
    return undefined;
  }

  /** @returns a warning, where two measurements in a row lost 2 % while the training loss fell */
  measured(step: number, loss: number): string | undefined {
    if (!Number.isFinite(loss)) return undefined;
    const best = this.#best;
    if (best === undefined || loss < best.loss) {
      this.#best = { step, loss, train: this.#train };
      this.#rises = 0;
      return undefined;
    }
    this.#rises = loss > 1.02 * best.loss && this.#train < best.train ? this.#rises + 1 : 0;
    if (this.#rises < 2) return undefined;
    return this.#once(
      "over-fitting",
      `the validation loss has risen to ${loss.toFixed(4)} since step ${best.step} ` +
        `(${best.loss.toFixed(4)}) while the training loss falls: over-fitting`,
    );
  }

  /** Smoothed training loss, its start corrected. */
  get #train(): number {
    return this.#smooth / this.#weight;
  }

  #once(kind: string, message: string): string | undefined {
    if (this.#told.has(kind)) return undefined;
    this.#told.add(kind);
    return message;
  }
}
