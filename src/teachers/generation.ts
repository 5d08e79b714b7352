import { Exit, Fail } from "../base/fail.ts";
import type { Journal } from "../base/journal.ts";
import type { AnswerSchema } from "../settings/answer_schema.ts";
import { objectsIn, readRow, type Refused, requestKey } from "./accept.ts";
import { type Group, groupOf, mixOf, wantedOf } from "./mix.ts";
import { type CallOptions, Ledger, type Spent, untilAnswered } from "./calls.ts";
import { costOf } from "./prices.ts";
import { promptOf } from "./prompt.ts";
import type { Batch, Row, Teacher } from "./teacher.ts";

export interface GenerationOptions extends CallOptions {
  readonly rows: number;
  /** Rows a call is to bring. */
  readonly batch: number;
  /** Calls under way at the same time. A kill may lose what these would have brought, no more. */
  readonly parallel: number;
  /** Asked before each call: true ends the generation, which can be continued later. */
  readonly stopped: () => boolean;
  readonly onReply?: (told: Told) => void;
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
  | Spent
  /** A reply's line has its rows too. */
  | ({ readonly reply: number; readonly input: number; readonly output: number } & Sifted)
  | ({ readonly imported: string } & Sifted);

interface Sifted {
  readonly rows: readonly Row[];
  readonly refused: readonly Refused[];
}

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
  readonly ledger = new Ledger();
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
    if ("call" in entry || "failed" in entry || "reply" in entry) this.ledger.take(entry);
    else if ("imported" in entry) this.imported.add(entry.imported);
    else throw new Error("an unknown kind of line");
    if (!("rows" in entry)) return;
    this.refused.push(...entry.refused);
    for (const row of entry.rows) this.#add(row);
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
    return this.calls === 0 && this.imported.size === 0;
  }

  get calls(): number {
    return this.ledger.calls;
  }

  /** Tokens, those of calls whose answer was never seen counted at their most. */
  get used(): { input: number; output: number } {
    return this.ledger.used;
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
  const book = {
    ledger: progress.ledger,
    record: (line: Spent) => progress.record(line),
    get far() {
      return `${progress.rows.length} of ${o.rows} rows`;
    },
    less: "a smaller --num finishes with what is there",
  };
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
      const answer = await untilAnswered(teacher, planned, () => ++call, book, o, halted);
      if (!answer) return;
      const { rows, refused } = await inTurn(async () => {
        const room = missingOf(progress, o.rows);
        const sifted = progress.sift(answer.text, teacher.name, room);
        await progress.record({ reply: answer.call, ...answer.usage, ...sifted });
        return sifted;
      });
      barren = rows.length >= planned.rows * USEFUL ? 0 : barren + 1;
      const used = progress.used;
      o.onReply?.({
        call: answer.call,
        rows: progress.rows.length,
        of: o.rows,
        refused: refused.length,
        calls: progress.calls,
        tokens: used.input + used.output,
        ...(o.price ? { cost: costOf(used, o.price) } : {}),
      });
      if (barren >= BARREN) throw useless(progress, refused, answer.text, o.rows);
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
