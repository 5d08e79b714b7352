import { Exit, Fail } from "../base/fail.ts";
import { plural, thousands } from "../base/text.ts";
import { costOf, type Price, tokensOf } from "./prices.ts";
import { type Call, type Reply, type Teacher, TryAgain } from "./teacher.ts";

/** What must not be exceeded over the whole work, restarts included. */
export interface Caps {
  readonly calls?: number;
  readonly tokens?: number;
  /** US dollars. */
  readonly cost?: number;
}

export interface CallOptions {
  /** Longest answer of a call, tokens. */
  readonly maxTokens: number;
  /** Times that a call which did not work is made again. */
  readonly retries: number;
  /** Seconds until a call is given up. */
  readonly timeout: number;
  readonly caps: Caps;
  readonly price?: Price;
  readonly onRetry?: (why: string, milliseconds: number) => void;
}

/** Lines of a journal that tell what calls used. */
export type Spent =
  /** Written before a call, with the most it can use. */
  | { readonly call: number; readonly input: number; readonly output: number }
  /** What it did use, together with what it brought. */
  | { readonly reply: number; readonly input: number; readonly output: number }
  /** A call that brought nothing; what it may have cost stays counted unless `free`. */
  | { readonly failed: number; readonly why: string; readonly free: boolean };

/** What all calls used, by the lines of a journal. */
export class Ledger {
  readonly #used = new Map<number, { input: number; output: number }>();

  take(line: Spent): void {
    if ("call" in line) this.#used.set(line.call, line);
    else if ("reply" in line) this.#used.set(line.reply, line);
    else if (line.free) this.#used.set(line.failed, { input: 0, output: 0 });
  }

  /** The number of the last call. */
  get calls(): number {
    return Math.max(0, ...this.#used.keys());
  }

  /** Tokens, those of calls whose answer was never seen counted at their most. */
  get used(): { input: number; output: number } {
    let input = 0, output = 0;
    for (const one of this.#used.values()) {
      input += one.input;
      output += one.output;
    }
    return { input, output };
  }
}

/** Whoever keeps the journal of the calls. */
export interface Book {
  readonly ledger: Ledger;
  /** Writes a line to the disk, and into the ledger. */
  record(line: Spent): Promise<void>;
  /** How far the work is, for messages: "12 of 50 rows". */
  readonly far: string;
  /** What ends it with less, for messages. */
  readonly less: string;
}

export interface Answered {
  /** Of the call that brought it. */
  readonly call: number;
  readonly text: string;
  readonly usage: { readonly input: number; readonly output: number };
}

/**
 * Makes a call, again and again where it may succeed later, and writes every one down before it is made.
 * @param next the number of the next call
 * @param halted asked while waiting: true gives up
 * @returns undefined where it was halted
 * @throws Fail where a cap would be exceeded, the teacher refuses, or all retries are used
 */
export async function untilAnswered<Asked extends Call>(
  teacher: Teacher<Asked>,
  planned: Asked,
  next: () => number,
  book: Book,
  o: CallOptions,
  halted: () => boolean,
): Promise<Answered | undefined> {
  for (let attempt = 0;; attempt++) {
    const call = { ...planned, call: next() };
    const most = { input: tokensOf(call.prompt), output: o.maxTokens };
    if (teacher.paid) {
      checkCaps(book, call.call, most, o);
      await book.record({ call: call.call, ...most });
    }
    let reply: Reply;
    try {
      reply = await teacher.ask(call, o.maxTokens, AbortSignal.timeout(o.timeout * 1000));
    } catch (error) {
      const again = error instanceof TryAgain ? error : undefined;
      if (teacher.paid) {
        const why = error instanceof Error ? error.message : String(error);
        await book.record({ failed: call.call, why, free: !again?.charged });
      }
      if (!again) throw error;
      if (attempt >= o.retries) throw exhausted(again, attempt);
      const wait = again.after ?? backoff(attempt);
      o.onRetry?.(again.message, wait);
      await pause(wait, halted);
      if (halted()) return undefined;
      continue;
    }
    const usage = reply.usage ??
      (teacher.paid
        ? { input: most.input, output: tokensOf(reply.text) }
        : { input: 0, output: 0 });
    return { call: call.call, text: reply.text, usage };
  }
}

/** Doubling from a second to a minute, half of it by chance so that clients do not return together. */
function backoff(attempt: number): number {
  const full = Math.min(60_000, 1000 * 2 ** attempt);
  return full / 2 + Math.random() * full / 2;
}

/** Waits, but not past a stop. */
async function pause(milliseconds: number, halted: () => boolean): Promise<void> {
  const end = performance.now() + milliseconds;
  while (!halted() && performance.now() < end) {
    await Bun.sleep(Math.min(200, end - performance.now()));
  }
}

/** @throws Fail before a call that could exceed a cap */
function checkCaps(
  { ledger: { used }, far, less }: Book,
  call: number,
  most: { input: number; output: number },
  { caps, price }: CallOptions,
): void {
  const with_ = { input: used.input + most.input, output: used.output + most.output };
  const refuse = (what: string, flag: string) =>
    new Fail(`stopped at ${far}: the next call could exceed ${what}`, {
      why: `${plural(call - 1, "call")} so far, ${thousands(used.input + used.output)} tokens${
        price ? `, $${costOf(used, price).toFixed(2)}` : ""
      }; nothing is lost`,
      fix: `the same command goes on with a larger ${flag}; ${less}`,
      exit: Exit.gate,
    });
  if (caps.calls !== undefined && call > caps.calls) {
    throw refuse(`--max-calls ${caps.calls}`, "--max-calls");
  }
  if (caps.tokens !== undefined && with_.input + with_.output > caps.tokens) {
    throw refuse(`--max-tokens-total ${caps.tokens}`, "--max-tokens-total");
  }
  if (caps.cost !== undefined && price && costOf(with_, price) > caps.cost) {
    throw refuse(`--max-cost ${caps.cost}`, "--max-cost");
  }
}

function exhausted(last: TryAgain, attempts: number): Fail {
  return new Fail(`the teacher does not answer: ${last.message}`, {
    why: attempts === 0 ? "it was not asked again" : `asked ${attempts + 1} times`,
    fix: "the same command goes on where it stopped; nothing that was answered is asked again",
    exit: Exit.network,
  });
}
