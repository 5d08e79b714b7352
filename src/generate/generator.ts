import { askOf, type Sampling, tokenBits } from "../../kernels/sample/sample.ts";
import type { Model } from "../architectures/model.ts";
import { Exit, Fail } from "../base/fail.ts";
import type { Memory } from "../graph/memory.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Grammar } from "../text/grammar/constraint.ts";
import { type Answer, type Asked, type Generation, Job, type Request } from "./job.ts";
import {
  type Adapted,
  buildDecode,
  buildPrefill,
  type CacheSize,
  type Decode,
  NOTES,
  PAGE,
  type Prefill,
  weightsOf,
} from "./program.ts";

export type { Answer, Asked, Generation, Request } from "./job.ts";
export type { Sampling } from "../../kernels/sample/sample.ts";

export interface GeneratorSize {
  /** Requests that run side by side. */
  readonly slots: number;
  /** Longest prompt and answer together, tokens. */
  readonly context: number;
  /** Prompt tokens computed in one run; between two of them answers under way get a token. */
  readonly prefill: number;
  /**
   * Tokens that the cache holds for all requests together; a request waits until there is room for its
   * prompt and longest answer. Enough for every slot unless told.
   */
  readonly cache?: number;
  /** Steps submitted before the tokens of the first are read; 2 on hardware unless told, 1 on software. */
  readonly ahead?: number;
}

const NONE = 0xffffffff;

/** A token of a prompt that is to be computed. */
interface PromptToken {
  readonly job: Job;
  readonly id: number;
  readonly position: number;
}

/**
 * Generation with a paged key-value cache, several requests at once: those that are done leave and others
 * enter between two steps (continuous batching, Yu et al. 2022). Tokens are drawn on the device; a step
 * reads those of the one before there, and the host sees them later.
 */
export class Generator {
  readonly #waiting: Job[] = [];
  /** What is to be computed of the prompts of those that have a slot. */
  #prompts: PromptToken[] = [];
  /** By slot. */
  readonly #active = new Map<number, Job>();
  readonly #freePages: number[];
  readonly #cache: CacheSize;
  readonly #ahead: number;
  #steps = 0;
  #work: Promise<void> | undefined;

  private constructor(
    readonly model: Model,
    readonly size: GeneratorSize,
    readonly memory: Memory,
    cache: CacheSize,
    readonly prefill: Prefill,
    readonly decode: Decode,
  ) {
    this.#cache = cache;
    this.#freePages = Array.from({ length: cache.pages }, (_, i) => cache.pages - 1 - i);
    this.#ahead = size.ahead ?? (memory.device.capabilities.software ? 1 : 2);
    this.#clear(decode.requests.cursor);
  }

  /** Records and builds both programs over weights that `memory` holds already. */
  static async create(
    model: Model,
    memory: Memory,
    size: GeneratorSize,
    adapted: Adapted = {},
  ): Promise<Generator> {
    const context = Math.ceil(size.context / PAGE) * PAGE;
    const pages = Math.ceil(
      Math.min(size.cache ?? Infinity, size.slots * context) / PAGE,
    );
    const cache = { slots: size.slots, context, page: PAGE, pages };
    const prefill = await buildPrefill(model, memory, cache, size.prefill, adapted);
    const decode = await buildDecode(model, memory, cache, adapted);
    return new Generator(model, size, memory, cache, prefill, decode);
  }

  /** What a generator needs loaded: its frozen and trained tensors. */
  static tensors(model: Model, adapted: Adapted = {}) {
    return weightsOf(model, adapted);
  }

  /**
   * Asks for an answer; it begins when there is room. What is drawn depends on the request alone, never on
   * which others run beside it.
   * @throws Fail (exit 3) when a prompt leaves no room for an answer, (exit 2) for one that fits its grammar
   */
  submit(asked: Asked): Generation {
    const n = asked.ids.length, { context } = this.size;
    const most = Math.min(asked.maxTokens, context - n);
    const pages = Math.ceil((n + most) / PAGE);
    if (n === 0 || n >= context || pages > this.#cache.pages) {
      const room = Math.min(context - 1, this.#cache.pages * PAGE - most);
      throw new Fail(`the prompt has ${n} tokens; 1 to ${room} fit`, {
        fix: "shorten the prompt",
        exit: Exit.data,
      });
    }
    const job = new Job(asked, most, () => this.#wake());
    this.#waiting.push(job);
    this.#wake();
    return job;
  }

  /** Requests that wait for a slot or for pages. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Requests that are being answered. */
  get running(): number {
    return this.#active.size;
  }

  /** Resolves when nothing is left to do. */
  async idle(): Promise<void> {
    while (this.#work) await this.#work;
  }

  /**
   * Answers every request, greedily or by sampling; answers come in the order of the requests.
   * @param stop ids that end an answer
   * @param grammar what every answer must be
   * @throws Fail (exit 3) when a prompt leaves no room for an answer
   */
  answers(
    requests: Iterable<Request> | AsyncIterable<Request>,
    stop: ReadonlySet<number>,
    sampling: Sampling,
    grammar?: Grammar,
  ): AsyncGenerator<Answer> {
    return this.inOrder(requests, { stop, sampling, grammar }, ({ answer }) => answer);
  }

  /**
   * The same with answers read as the caller wants them while they are made.
   * @param read called when a request is submitted; what it gives comes in the order of the requests
   */
  async *inOrder<T>(
    requests: Iterable<Request> | AsyncIterable<Request>,
    how: Pick<Asked, "stop" | "sampling" | "grammar">,
    read: (generation: Generation) => Promise<T>,
  ): AsyncGenerator<T> {
    const jobs: { job: Generation; result: Promise<T> }[] = [], source = iterate(requests);
    let stream = 0, ended = false;
    try {
      for (;;) {
        while (!ended && jobs.length < 2 * this.size.slots) {
          const { value, done } = await source.next();
          ended = done === true;
          if (!value) continue;
          const job = this.submit({ ...value, ...how, stream: stream++ }), result = read(job);
          result.catch(() => {}); // told where it is awaited, if it still is
          jobs.push({ job, result });
        }
        const first = jobs.shift();
        if (!first) return;
        yield await first.result;
      }
    } finally {
      for (const { job } of jobs) job.cancel();
      await this.idle();
    }
  }

  #wake(): void {
    this.#work ??= this.#run().catch((error) => {
      for (const job of [...this.#active.values(), ...this.#waiting.splice(0)]) job.fail(error);
      this.#vacate();
    }).finally(() => {
      this.#work = undefined;
      if (this.#waiting.length > 0) this.#wake();
    });
  }

  /** Takes everybody away after an error; where the device still works others may come. */
  #vacate(): void {
    for (const { seat } of this.#active.values()) this.#freePages.push(...seat!.pages);
    this.#active.clear();
    this.#prompts = [];
    try {
      this.#clear(this.decode.requests.cursor);
    } catch {
      // The device is gone: so is what it knew.
    }
  }

  async #run(): Promise<void> {
    const { runner, requests } = this.decode;
    const flying: { step: number; notes: Promise<Uint32Array> }[] = [];
    const land = async () => {
      const { step, notes } = flying.shift()!;
      this.#take(step, await notes);
    };
    for (;;) {
      this.#leave();
      this.#enter();
      if (this.#prompts.length > 0) {
        await this.#prompt(this.#prompts.splice(0, this.prefill.tokens));
      }
      const begun = [...this.#active.values()].filter(({ drawn, over }) => drawn > 0 && !over);
      const more = begun.some(({ seat, most }) => this.#steps - seat!.base < most - 1);
      if (more) {
        await runner.run();
        const notes = runner.readU32(requests.notes);
        notes.catch(() => {}); // told where it is awaited, if it still is
        flying.push({ step: ++this.#steps, notes });
        // What may come next in a constrained answer depends on what came last.
        const bound = begun.some(({ constraint }) => constraint);
        if (flying.length < (bound ? 1 : this.#ahead)) {
          await new Promise(setImmediate); // the copy is submitted before the next step
          continue;
        }
        while (bound && flying.length > 1) await land();
      }
      if (flying.length > 0) await land();
      else if (this.#active.size === 0 && this.#waiting.length === 0) return;
    }
  }

  /** Gives every running request the tokens that were drawn up to a step. */
  #take(step: number, notes: Uint32Array): void {
    for (const [slot, job] of this.#active) {
      if (job.drawn === 0) continue; // the first token is the prefill's
      const { base } = job.seat!, prompt = job.asked.ids.length;
      while (!job.over && !job.cancelled && job.drawn <= step - base) {
        alone(job, () => {
          const drawn = notes[slot * NOTES + (prompt + job.drawn) % NOTES]!, id = job.take(drawn);
          if (id !== drawn && !job.over) {
            const at = prompt + job.drawn - 1, left = job.most - job.drawn;
            this.#put(this.decode.requests.cursor, slot, Uint32Array.of(id, at, left, 0));
          }
          this.#allow(slot, job);
        });
      }
    }
  }

  /** Tells the device which tokens may come next in a constrained answer. */
  #allow(slot: number, { constraint, over }: Job): void {
    if (constraint && !over) this.#put(this.decode.requests.allowed, slot, constraint.mask());
  }

  /** Takes away who is done. */
  #leave(): void {
    for (const [slot, job] of this.#active) {
      if (job.cancelled && !job.over) job.end("cancelled");
      if (!job.over) continue;
      this.#active.delete(slot);
      this.#freePages.push(...job.seat!.pages);
      if (job.drawn === 0) this.#prompts = this.#prompts.filter((token) => token.job !== job);
      this.#put(this.decode.requests.cursor, slot, new Uint32Array(4));
    }
    for (const job of this.#waiting.filter(({ cancelled }) => cancelled)) {
      this.#waiting.splice(this.#waiting.indexOf(job), 1);
      job.end("cancelled");
    }
  }

  /** Gives slots and pages to who waits, in order. */
  #enter(): void {
    const { slots, context } = this.#cache;
    for (let slot = 0; slot < slots && this.#waiting.length > 0; slot++) {
      if (this.#active.has(slot)) continue;
      const { asked, most } = this.#waiting[0]!, { ids, sampling, stream = 0 } = asked;
      const wanted = Math.ceil((ids.length + most) / PAGE);
      if (wanted > this.#freePages.length) break;
      const job = this.#waiting.shift()!, { requests } = this.decode;
      const pages = this.#freePages.splice(-wanted);
      job.sit({ slot, pages, base: this.#steps });
      this.#active.set(slot, job);
      const table = new Uint32Array(context / PAGE);
      table.set(pages);
      this.#put(requests.pages, slot, table);
      const constrained = job.constraint !== undefined;
      this.#put(requests.ask, slot, askOf({ ...sampling, constrained }, stream, ids.length));
      alone(job, () => this.#allow(slot, job));
      if ((sampling.repetitionPenalty ?? 1) !== 1) {
        this.#put(requests.seen, slot, tokenBits(ids, this.model.sizes.vocab));
      }
      ids.forEach((id, position) => this.#prompts.push({ job, id, position }));
    }
  }

  /** Computes some tokens of prompts; of a prompt that ends here the answer's first is drawn. */
  async #prompt(items: readonly PromptToken[]): Promise<void> {
    const { runner, inputs, tokens, drawn } = this.prefill, { context, slots } = this.#cache;
    const ids = new Uint32Array(tokens), positions = new Uint32Array(tokens);
    const rows = new Uint32Array(tokens).fill(NONE), spans = new Uint32Array(2 * tokens);
    const pick = new Uint32Array(slots).fill(NONE), cursor = new Uint32Array(4 * slots);
    const ended: Job[] = [];
    items.forEach(({ job, id, position }, t) => {
      const { slot, pages } = job.seat!;
      ids[t] = id;
      positions[t] = position;
      rows[t] = pages[Math.floor(position / PAGE)]! * PAGE + position % PAGE;
      spans.set([slot * context, slot * context + position + 1], 2 * t);
      if (position < job.asked.ids.length - 1) return;
      pick[slot] = t;
      cursor.set([id, position, 1, 0], 4 * slot);
      ended.push(job);
    });
    const values = { ids, positions, rows, spans, pick, cursor };
    for (const [name, value] of Object.entries(values)) {
      runner.write(inputs[name as keyof typeof inputs], value);
    }
    await runner.run();
    if (ended.length === 0) return;
    const first = await runner.readU32(drawn);
    for (const job of ended) {
      if (job.over) continue;
      alone(job, () => {
        const { slot } = job.seat!, id = job.take(first[slot]!), left = job.most - 1;
        this.#allow(slot, job);
        const at = Uint32Array.of(id, job.asked.ids.length, job.over ? 0 : left, 0);
        this.#put(this.decode.requests.cursor, slot, at);
      });
      job.sit({ ...job.seat!, base: this.#steps });
    }
  }

  /** Writes a slot's part of what the device knows of requests. */
  #put(of: Tensor, slot: number, words: Uint32Array): void {
    const { buffer, offset } = this.memory.place(of);
    this.memory.device.write(buffer, offset + slot * words.byteLength, words);
  }

  #clear(of: Tensor): void {
    this.memory.write(of, new Uint32Array(of.shape.reduce((a, b) => a * b, 1)));
  }

  free(): void {
    this.prefill.runner.free();
    this.decode.runner.free();
  }
}

/** What goes wrong with one request's grammar ends that request alone. */
function alone(job: Job, work: () => void): void {
  try {
    work();
  } catch (error) {
    job.fail(error);
  }
}

async function* iterate(
  requests: Iterable<Request> | AsyncIterable<Request>,
): AsyncGenerator<Request, undefined> {
  yield* requests;
  return undefined;
}
