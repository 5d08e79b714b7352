import type { Sampling } from "../../kernels/sample/sample.ts";
import type { Constraint, Grammar } from "../text/grammar/constraint.ts";

export interface Request {
  readonly ids: readonly number[];
  readonly maxTokens: number;
}

/** A request with everything that its answer depends on. */
export interface Asked extends Request {
  /** Ids that end the answer. */
  readonly stop: ReadonlySet<number>;
  readonly sampling: Sampling;
  /** Sets its random numbers apart from those of others with the same seed; 0 unless told. */
  readonly stream?: number;
  /** What the answer must be; then it is whole within `maxTokens`, its end included. */
  readonly grammar?: Grammar;
}

export interface Answer {
  /** Without the token that ended it. */
  readonly ids: number[];
  readonly finish: "stop" | "length" | "cancelled";
  /** From the moment the request got a slot. */
  readonly milliseconds: number;
  /** The same of each token; of the one that ended the answer too. */
  readonly at: readonly number[];
}

/** An answer in the making: its tokens as they come. */
export interface Generation extends AsyncIterable<number> {
  /** Resolves when it is whole. Rejects when generating failed. */
  readonly answer: Promise<Answer>;
  /** Ends it where it is; its slot is free after the step under way. */
  cancel(): void;
}

/** Pages and slot of a request that is being answered. */
export interface Seat {
  readonly slot: number;
  readonly pages: readonly number[];
  /** Decoding steps that were submitted before its first. */
  readonly base: number;
}

/** The scheduler's side of a generation. */
export class Job implements Generation {
  readonly answer: Promise<Answer>;
  readonly constraint: Constraint | undefined;
  seat: Seat | undefined;
  cancelled = false;
  readonly #ids: number[] = [];
  readonly #at: number[] = [];
  readonly #whole = Promise.withResolvers<Answer>();
  #began = 0;
  #drawn = 0;
  #more = Promise.withResolvers<void>();
  #over = false;
  #error: unknown;

  /** @param most tokens it may have */
  constructor(readonly asked: Asked, readonly most: number, readonly told: () => void) {
    this.constraint = asked.grammar?.begin(most);
    this.answer = this.#whole.promise;
    this.answer.catch(() => {}); // whoever reads tokens is told there
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<number> {
    for (let i = 0;;) {
      while (i < this.#ids.length) yield this.#ids[i++]!;
      if (this.#error) throw this.#error;
      if (this.#over) return;
      await this.#more.promise;
    }
  }

  cancel(): void {
    if (this.#over) return;
    this.cancelled = true;
    this.told();
  }

  get over(): boolean {
    return this.#over;
  }

  /** Tokens that were drawn, the one that ended it among them. */
  get drawn(): number {
    return this.#drawn;
  }

  sit(seat: Seat): void {
    this.seat = seat;
    this.#began ||= performance.now();
  }

  /** Takes the next token that was drawn. @returns the one that the answer has: see `Constraint.take` */
  take(drawn: number): number {
    const id = this.constraint?.take(drawn) ?? drawn;
    this.#drawn++;
    this.#at.push(performance.now() - this.#began);
    const ended = this.constraint?.done ?? this.asked.stop.has(id);
    if (!ended) this.#ids.push(id);
    if (ended) this.end("stop");
    else if (this.#ids.length >= this.most) this.end("length");
    else this.#tell();
    return id;
  }

  end(finish: Answer["finish"]): void {
    const milliseconds = this.#began === 0 ? 0 : performance.now() - this.#began;
    this.#over = true;
    this.#whole.resolve({ ids: this.#ids, finish, milliseconds, at: this.#at });
    this.#tell();
  }

  fail(error: unknown): void {
    this.#over = true;
    this.#error = error;
    this.#whole.reject(error);
    this.#tell();
  }

  #tell(): void {
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }
}
