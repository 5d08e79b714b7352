import { Fail } from "../../base/fail.ts";
import type { Entry, Outcome, RunFacts, Tracker } from "./tracker.ts";

/** Limits of a delivery; times in milliseconds. */
export interface Limits {
  /** Entries that wait at most; beyond that the oldest are dropped. */
  readonly waiting: number;
  /** Entries in one call. */
  readonly batch: number;
  /** Between two calls while all is well. */
  readonly every: number;
  /** One call may take this long. */
  readonly call: number;
  /** Before a failed call is made again: the first time, and at most. */
  readonly retry: readonly [first: number, most: number];
  /** All that is left to do when the run ends may take this long. */
  readonly end: number;
  /** A checkpoint waits this long for files on this machine. */
  readonly checkpoint: number;
}

export const LIMITS: Limits = {
  waiting: 10_000,
  batch: 500,
  every: 1000,
  call: 10_000,
  retry: [1000, 60_000],
  end: 10_000,
  checkpoint: 250,
};

/** Calls that a run's end gives a tracker that does not answer. */
const LAST_TRIES = 2;

/**
 * Stands between a run and one tracker. Entries are put into a bounded list and leave it in the
 * background, so that a tracker that is slow, hangs, refuses or is not there costs the run nothing but the
 * entries: those are counted, and `warn` is told once when it begins to fail and once at the end.
 */
export class Delivery {
  /** What a later part of the run needs to go on; known once the tracker has begun. */
  state: unknown;
  /** Entries that were not delivered. */
  lost = 0;
  #waiting: Entry[] = [];
  #outcome: Outcome | undefined;
  #off = false;
  #warned = false;
  #begun = false;
  /** Tells somebody who waits that all before has been written. */
  #flushed: (() => void) | undefined;
  #wake: () => void = () => {};
  readonly #giveUp = new AbortController();
  readonly #done: Promise<void>;

  constructor(
    readonly tracker: Tracker,
    run: RunFacts,
    state: unknown,
    private readonly warn: (message: string) => void,
    private readonly limits: Limits = LIMITS,
  ) {
    this.state = state;
    this.#done = this.#deliver(run);
  }

  /** Takes an entry; returns at once. */
  put(entry: Entry): void {
    if (this.#off || this.#outcome) return void this.lost++;
    this.#waiting.push(entry);
    if (this.#waiting.length > this.limits.waiting) {
      this.#waiting.shift();
      this.lost++;
    }
  }

  /**
   * Before a checkpoint: has everything up to it written, where that is a matter of files on this machine,
   * so that a run which is killed and resumed has no hole. A tracker that fails is not waited for.
   */
  async flush(): Promise<void> {
    if (!this.tracker.local || this.#off || this.#warned || this.#outcome) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#flushed = resolve;
    this.#wake();
    const timer = setTimeout(resolve, this.limits.checkpoint);
    await promise;
    clearTimeout(timer);
  }

  /** Delivers what waits, for as long as the limits allow; never throws. */
  async end(outcome: Outcome): Promise<void> {
    if (this.#outcome) return this.#done;
    this.#outcome = outcome;
    this.#wake();
    const timer = setTimeout(() => this.#giveUp.abort(), this.limits.end);
    await this.#done;
    clearTimeout(timer);
    this.lost += this.#waiting.length;
    this.#waiting = [];
    if (this.lost > 0) this.warn(`${this.tracker.name}: ${this.lost} entries were not delivered`);
  }

  async #deliver(run: RunFacts): Promise<void> {
    const { tracker, limits } = this;
    // Nothing of a tracker may run before the caller has what it waits for.
    await new Promise((go) => setTimeout(go, 0));
    this.#begun = await this.#call(async (signal) => {
      this.state = await tracker.begin(run, this.state, signal) ?? this.state;
    });
    while (!this.#off && (this.#waiting.length > 0 || !this.#outcome)) {
      if (!this.#outcome && !this.#flushed) await this.#pause(limits.every);
      while (this.#waiting.length > 0 && !this.#off) {
        const batch = this.#waiting.splice(0, limits.batch);
        const delivered = await this.#call((signal) => tracker.write(batch, signal));
        if (!delivered) this.lost += batch.length;
      }
      if (!this.#flushed) continue;
      // deno-lint-ignore require-await -- so that what it throws is handled like the rest
      if (!this.#off) await this.#call(async () => tracker.flush?.());
      this.#flushed();
      this.#flushed = undefined;
    }
    this.#flushed?.();
    if (this.#begun && !this.#off) {
      await this.#call((signal) => tracker.end(this.#outcome!, signal));
    }
  }

  /** Makes a call until it succeeds, is refused for good, or the run's end has no more time for it. */
  async #call(work: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
    const { limits } = this;
    let wait = limits.retry[0], last = 0;
    for (;;) {
      if (this.#outcome && ++last > LAST_TRIES || this.#giveUp.signal.aborted) break;
      try {
        const timeout = AbortSignal.timeout(limits.call);
        const signal = AbortSignal.any([timeout, this.#giveUp.signal]);
        await Promise.race([work(signal), aborted(signal)]);
        return true;
      } catch (error) {
        const final = error instanceof Fail;
        this.#tellOnce(error, final);
        if (final) break;
        await this.#pause(this.#outcome ? Math.min(wait, 250) : wait);
        wait = Math.min(2 * wait, limits.retry[1]);
      }
    }
    this.#off = true;
    return false;
  }

  #tellOnce(error: unknown, final: boolean) {
    if (this.#warned) return;
    this.#warned = true;
    const { name } = this.tracker;
    const reason = error instanceof Fail
      ? [error.message, error.why].filter(Boolean).join(": ")
      : error instanceof Error && error.name === "TimeoutError"
      ? `no answer within ${this.limits.call / 1000} s`
      : error instanceof Error
      ? error.message
      : String(error);
    this.warn(
      final
        ? `${name} gets nothing more of this run: ${reason}`
        : `${name} does not take the metrics: ${reason}; tried again in the background`,
    );
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((go) => {
      const timer = setTimeout(go, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        go();
      };
      if (this.#giveUp.signal.aborted) this.#wake();
    });
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
