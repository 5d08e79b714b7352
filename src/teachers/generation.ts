import { Exit, Fail } from "../base/fail.ts";
import type { Journal } from "../base/journal.ts";
import { plural, thousands } from "../base/text.ts";
import type { AnswerSchema } from "../settings/answer_schema.ts";
import { objectsIn, readRow, type Refused, requestKey } from "./accept.ts";
import { type Group, groupOf, mixOf, wantedOf } from "./mix.ts";
import { costOf, type Price, tokensOf } from "./prices.ts";
import { promptOf } from "./prompt.ts";
import { type Batch, type Reply, type Row, type Teacher, TryAgain } from "./teacher.ts";

/** What must not be exceeded over the whole generation, restarts included. */
export interface Caps {
  readonly calls?: number;
  readonly tokens?: number;
  /** US dollars. */
  readonly cost?: number;
}

export interface GenerationOptions {
  readonly rows: number;
  /** Rows a call is to bring. */
  readonly batch: number;
  /** Longest answer of a call, tokens. */
  readonly maxTokens: number;
  /** Calls under way at the same time. A kill may lose what these would have brought, no more. */
  readonly parallel: number;
  /** Times that a call which did not work is made again. */
  readonly retries: number;
  /** Seconds until a call is given up. */
  readonly timeout: number;
  readonly caps: Caps;
  readonly price?: Price;
  /** Asked before each call: true ends the generation, which can be continued later. */
  readonly stopped: () => boolean;
  readonly onReply?: (told: Told) => void;
  readonly onRetry?: (why: string, milliseconds: number) => void;
}

/** Told after a reply is on the disk. */
export interface Told {
  readonly call: number;
  readonly rows: number;
  readonly of: number;
  readonly refused: number;
  readonly calls: number;
  readonly tokens: number;
  readonly cost?: number;
}

/** One line of the journal. */
type Entry =
  | { readonly begin: { readonly v: 1; readonly schema: string; readonly name: string } }
  /** Written before a call, with the most it can use. */
  | { readonly call: number; readonly input: number; readonly output: number }
  | {
    readonly reply: number;
    readonly input: number;
    readonly output: number;
    readonly rows: readonly Row[];
    readonly refused: readonly Refused[];
  }
  /** A call that brought nothing; what it may have cost stays counted unless `free`. */
  | { readonly failed: number; readonly why: string; readonly free: boolean }
  | {
    readonly imported: string;
    readonly rows: readonly Row[];
    readonly refused: readonly Refused[];
  };

/** Replies in a row that brought next to nothing, after which asking on is of no use. */
const BARREN = 3;
/** Share of the rows asked for below which a reply brought next to nothing. */
const USEFUL = 0.1;

/** Shown to the teacher so that it writes others, and errors it made. */
const KNOWN = 12;
const FAULTS = 6;

/** All that a generation has so far, as its journal tells it. */
export class Progress {
  readonly rows: Row[] = [];
  readonly refused: Refused[] = [];
  readonly imported = new Set<string>();
  readonly #keys = new Set<string>();
  readonly #used = new Map<number, { input: number; output: number }>();
  readonly #perSubcommand = new Map<string, number>();

  private constructor(readonly schema: AnswerSchema, readonly journal: Journal) {}

  /**
   * Reads what a journal holds, or begins it.
   * @param hash of the schema's text
   * @throws Fail (data) where it belongs to another schema or is damaged
   */
  static async open(schema: AnswerSchema, hash: string, journal: Journal): Promise<Progress> {
    const progress = new Progress(schema, journal);
    const fresh = { begin: { v: 1 as const, schema: hash, name: schema.name } };
    if (journal.before.length === 0) await journal.append(JSON.stringify(fresh));
    for (const [i, line] of journal.before.entries()) {
      try {
        const entry = JSON.parse(line) as Entry;
        if (i > 0) progress.#take(entry);
        else if (!("begin" in entry) || entry.begin.v !== 1) throw new Error("no beginning");
        else if (entry.begin.schema !== hash) {
          throw new Fail(`what was begun there is of another schema than ${schema.name} is now`, {
            why: `the journal was begun with "${entry.begin.name}", ${
              entry.begin.schema.slice(0, 12)
            }…, the schema is ${hash.slice(0, 12)}…`,
            fix: "restore the schema to go on, or begin again with --force",
            exit: Exit.data,
          });
        }
      } catch (error) {
        if (error instanceof Fail) throw error;
        throw new Fail(`the journal of the generation is damaged in line ${i + 1}`, {
          why: error instanceof Error ? error.message : String(error),
          fix: "take that line out with an editor, or begin again with --force",
          exit: Exit.data,
        });
      }
    }
    return progress;
  }

  #take(entry: Entry): void {
    if ("call" in entry) this.#used.set(entry.call, entry);
    else if ("failed" in entry) {
      if (entry.free) this.#used.set(entry.failed, { input: 0, output: 0 });
    } else if ("reply" in entry || "imported" in entry) {
      if ("reply" in entry) this.#used.set(entry.reply, entry);
      else this.imported.add(entry.imported);
      this.refused.push(...entry.refused);
      for (const row of entry.rows) this.#add(row);
    } else throw new Error("an unknown kind of line");
  }

  #add(row: Row): void {
    this.rows.push(row);
    this.#keys.add(requestKey(row.instruction, row.context));
    const name = this.schema.cli && subcommandOf(row);
    if (name) this.#perSubcommand.set(name, (this.#perSubcommand.get(name) ?? 0) + 1);
  }

  /** Writes a line and then counts it; a call is counted first, so that no other one overlooks it. */
  async record(entry: Entry): Promise<void> {
    if ("call" in entry) this.#take(entry);
    await this.journal.append(JSON.stringify(entry));
    if (!("call" in entry)) this.#take(entry);
  }

  has(instruction: string, context: unknown): boolean {
    return this.#keys.has(requestKey(instruction, context));
  }

  /** Nothing was asked and nothing brought. */
  get empty(): boolean {
    return this.#used.size === 0 && this.imported.size === 0;
  }

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

  /** Rows there are of each group. */
  counts(): Record<Group, number> {
    const counts = { with_context: 0, without_context: 0, negative: 0, answer: 0 };
    for (const { metadata } of this.rows) counts[groupOf(metadata.case)]++;
    return counts;
  }

  /** The subcommands with the fewest rows. */
  neglected(most: number): string[] {
    const all =
      this.schema.cli?.commands.flatMap((command) =>
        command.subcommands.map(({ name }) => `${command.name} ${name}`)
      ) ?? [];
    const has = (name: string) => this.#perSubcommand.get(name) ?? 0;
    return all.map((name, i) => ({ name, i })).sort((a, b) =>
      has(a.name) - has(b.name) || a.i - b.i
    )
      .slice(0, most).map(({ name }) => name);
  }

  /**
   * Sorts an answer's rows into good and bad.
   * @param room rows still wanted of each group; without it every good row is taken
   */
  sift(text: string, teacher: string, room?: Record<Group, number>) {
    const rows: Row[] = [], refused: Refused[] = [];
    const here = new Set<string>();
    for (const one of objectsIn(text)) {
      const row = readRow(this.schema, one, teacher);
      if ("why" in row) {
        refused.push(row);
        continue;
      }
      const key = requestKey(row.instruction, row.context);
      const group = groupOf(row.metadata.case);
      const why = this.#keys.has(key) || here.has(key)
        ? "the same request is there already"
        : room && room[group] <= 0
        ? `more rows ${group.replaceAll("_", " ")} than were asked for`
        : undefined;
      if (why !== undefined) refused.push({ why, text: row.instruction.slice(0, 160) });
      else {
        here.add(key);
        if (room) room[group]--;
        rows.push(row);
      }
    }
    return { rows, refused };
  }
}

function subcommandOf({ output }: Row): string | undefined {
  const { command, subcommand } = JSON.parse(output) as Record<string, unknown>;
  return typeof subcommand === "string" ? `${command} ${subcommand}` : undefined;
}

/** The text of the next call, and what it is to bring. */
export function nextBatch(
  progress: Progress,
  template: string,
  missing: Readonly<Record<Group, number>>,
  size: number,
  call: number,
): Batch {
  const wanted = wantedOf(missing, size, call - 1);
  const rows = wanted.reduce((sum, { count }) => sum + count, 0);
  const faults = progress.refused.slice(-FAULTS).map(({ why }) => why);
  const prompt = promptOf(template, progress.schema, {
    rows,
    wanted,
    focus: progress.neglected(Math.max(4, Math.ceil(rows / 4))),
    known: progress.rows.slice(-KNOWN).map(({ instruction }) => instruction),
    faults: [...new Set(faults)],
  });
  return { call, rows, wanted, prompt, has: (text, context) => progress.has(text, context) };
}

/** Rows of each group that are still to come. */
export function missingOf(progress: Progress, rows: number): Record<Group, number> {
  const missing = mixOf(progress.schema, rows), counts = progress.counts();
  const short = progress.rows.length < rows;
  for (const group of Object.keys(missing) as Group[]) {
    missing[group] = short ? Math.max(0, missing[group] - counts[group]) : 0;
  }
  return missing;
}

/**
 * Asks until all rows are there. Every reply is in the journal, on the disk, before another call is made,
 * so that whatever ends the process costs no more than the calls under way.
 * @returns whether it is complete; false where it was stopped
 * @throws Fail where a cap is reached, the teacher refuses, or nothing it brings can be used
 */
export async function generate(
  progress: Progress,
  teacher: Teacher,
  template: string,
  o: GenerationOptions,
): Promise<boolean> {
  let call = progress.calls;
  let barren = 0;
  let failure: unknown;
  const underWay = new Map<number, Record<Group, number>>();

  const missing = () => {
    const left = missingOf(progress, o.rows);
    for (const asked of underWay.values()) {
      for (const group of Object.keys(left) as Group[]) {
        left[group] = Math.max(0, left[group] - asked[group]);
      }
    }
    return left;
  };
  // Replies are sorted one after another: the next must see the rows of the one before.
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = turn.then(work);
    turn = mine.catch(() => {});
    return mine;
  };
  const some = (left: Record<Group, number>) => Object.values(left).some((n) => n > 0);
  const halted = () => failure !== undefined || o.stopped();

  /** One batch, asked until it answers. */
  const one = async () => {
    const asked = { with_context: 0, without_context: 0, negative: 0, answer: 0 };
    const left = missing();
    const planned = nextBatch(progress, template, left, o.batch, call + 1);
    for (const { case: name, count } of planned.wanted) asked[groupOf(name)] += count;
    const ticket = call + 1;
    underWay.set(ticket, asked);
    try {
      for (let attempt = 0;; attempt++) {
        const batch = { ...planned, call: ++call };
        const most = { input: tokensOf(batch.prompt), output: o.maxTokens };
        if (teacher.paid) {
          checkCaps(progress, call, most, o);
          await progress.record({ call, ...most });
        }
        let reply: Reply;
        try {
          const signal = AbortSignal.timeout(o.timeout * 1000);
          reply = await teacher.ask(batch, o.maxTokens, signal);
        } catch (error) {
          const again = error instanceof TryAgain ? error : undefined;
          if (teacher.paid) {
            const why = error instanceof Error ? error.message : String(error);
            await progress.record({ failed: batch.call, why, free: !again?.charged });
          }
          if (!again) throw error;
          if (attempt >= o.retries) throw exhausted(again, attempt);
          const wait = again.after ?? backoff(attempt);
          o.onRetry?.(again.message, wait);
          await pause(wait, halted);
          if (halted()) return;
          continue;
        }
        const usage = reply.usage ??
          (teacher.paid
            ? { input: most.input, output: tokensOf(reply.text) }
            : { input: 0, output: 0 });
        const { rows, refused } = await inTurn(async () => {
          const room = missingOf(progress, o.rows);
          const sifted = progress.sift(reply.text, teacher.name, room);
          await progress.record({ reply: batch.call, ...usage, ...sifted });
          return sifted;
        });
        barren = rows.length >= batch.rows * USEFUL ? 0 : barren + 1;
        const used = progress.used;
        o.onReply?.({
          call: batch.call,
          rows: progress.rows.length,
          of: o.rows,
          refused: refused.length,
          calls: progress.calls,
          tokens: used.input + used.output,
          ...(o.price ? { cost: costOf(used, o.price) } : {}),
        });
        if (barren >= BARREN) throw useless(progress, refused, reply.text, o.rows);
        return;
      }
    } finally {
      underWay.delete(ticket);
    }
  };

  const worker = async () => {
    while (!halted() && some(missing())) {
      try {
        await one();
      } catch (error) {
        failure ??= error;
      }
    }
  };
  // A worker that finds everything asked for goes home; what fails to come is asked for in the next round.
  while (!halted() && some(missing())) {
    await Promise.all(Array.from({ length: o.parallel }, worker));
  }
  if (failure !== undefined) throw failure;
  return !some(missing());
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
  progress: Progress,
  call: number,
  most: { input: number; output: number },
  { caps, price, rows }: GenerationOptions,
): void {
  const used = progress.used;
  const with_ = { input: used.input + most.input, output: used.output + most.output };
  const refuse = (what: string, flag: string) =>
    new Fail(
      `stopped at ${progress.rows.length} of ${rows} rows: the next call could exceed ${what}`,
      {
        why: `${plural(call - 1, "call")} so far, ${thousands(used.input + used.output)} tokens${
          price ? `, $${costOf(used, price).toFixed(2)}` : ""
        }; nothing is lost`,
        fix:
          `the same command goes on with a larger ${flag}; a smaller --num finishes with what is there`,
        exit: Exit.gate,
      },
    );
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

function useless(
  progress: Progress,
  refused: readonly Refused[],
  text: string,
  rows: number,
): Fail {
  const reasons = [...new Set(refused.map(({ why }) => why))].slice(0, 5);
  const same = reasons.length === 1 && reasons[0]!.startsWith("the same request");
  const none = reasons.length === 0 && (text.trim() === "" || objectsIn(text).length > 0 ||
    text.trim() === "[]");
  return new Fail(
    `the last ${BARREN} answers brought next to nothing; there are ${progress.rows.length} of ${rows} rows`,
    {
      why: reasons.length > 0
        ? reasons.join("\n")
        : none
        ? "there seem to be no more different rows to be had"
        : `they hold no JSON objects, but: ${text.trim().slice(0, 120)}`,
      fix: none || same
        ? `a schema with more words in it, or finish with what is there: --num ${
          Math.max(1, progress.rows.length)
        }`
        : "another model, a smaller --batch, or a --template that says it better",
      exit: Exit.data,
    },
  );
}
