import type { Generation } from "../../generate/generator.ts";
import { ApiError } from "./errors.ts";

/** Why answers were ended before they were whole. */
export type Ended = "left" | "timeout" | "stopping";

/** One request under way: what it keeps busy, and how it ends early. */
export class Exchange {
  readonly id: string;
  readonly began = performance.now();
  model: string | undefined;
  promptTokens = 0;
  answerTokens = 0;
  ended: Ended | undefined;
  /** The status that an answer would have had, where it failed after its first piece was sent. */
  failed: number | undefined;
  readonly #generations: Generation[] = [];
  readonly #whole = Promise.withResolvers<void>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param signal kept, so that its listener lives as long as the exchange
   * @param seconds it may take
   */
  constructor(readonly signal: AbortSignal, seconds: number) {
    this.id = crypto.randomUUID().replaceAll("-", "").slice(0, 24);
    this.#timer = setTimeout(() => this.end("timeout"), seconds * 1000);
    if (signal.aborted) this.end("left");
    else signal.addEventListener("abort", () => this.end("left"), { once: true });
  }

  /** Seconds since it began. */
  get seconds(): number {
    return (performance.now() - this.began) / 1000;
  }

  /** Resolves when it has ended, answered or not. */
  get whole(): Promise<void> {
    return this.#whole.promise;
  }

  add(generation: Generation): void {
    this.#generations.push(generation);
    if (this.ended) generation.cancel();
  }

  /** Ends it early: slots and pages of its generations are free after the step under way. */
  end(why: Ended): void {
    if (this.#timer === undefined) return;
    this.ended ??= why;
    this.cancel();
  }

  cancel(): void {
    for (const generation of this.#generations) generation.cancel();
  }

  /** Says that nothing of it is left to do. */
  finish(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#whole.resolve();
  }

  /** @throws ApiError where it was ended early */
  check(): void {
    switch (this.ended) {
      case "left":
        throw new ApiError(499, "the client left", "client_left");
      case "timeout":
        throw new ApiError(504, "the answer took longer than this server allows", "timeout");
      case "stopping":
        throw new ApiError(503, "the server is stopping", "stopping", undefined, {
          connection: "close",
        });
    }
  }
}
