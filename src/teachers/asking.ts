import { Exit, Fail } from "../base/fail.ts";
import type { Journal } from "../base/journal.ts";
import { isObject, type JsonObject, parseJson } from "../base/strict_json.ts";
import { excerpt } from "../base/text.ts";
import { objectsIn } from "./accept.ts";
import { type CallOptions, Ledger, type Spent, untilAnswered } from "./calls.ts";
import { costOf } from "./prices.ts";
import type { Call, Teacher } from "./teacher.ts";

/** One thing that a teacher is asked for. */
export interface Item {
  /** Eight hexadecimal digits of a hash of what is asked, so that an answer finds its question again. */
  readonly id: string;
}

/** What is asked about each item, several of them in a call. */
export interface Task<One extends Item> {
  /** "chains", for messages. */
  readonly noun: string;
  /** The words of a call for these items; the answer is to be a JSON array of objects with their ids. */
  prompt(items: readonly One[], faults: readonly string[]): string;
  /** What one object of an answer says about its item. */
  read(item: One, answer: JsonObject): { readonly text: string } | { readonly why: string };
}

interface Sifted {
  readonly answers: readonly (readonly [id: string, text: string])[];
  readonly refused: readonly { readonly id: string; readonly why: string }[];
}

/** A line of the journal. */
export type AnswerLine =
  | Spent
  | ({ readonly reply: number; readonly input: number; readonly output: number } & Sifted)
  | ({ readonly imported: string } & Sifted);

/** Times that an item is asked for before it is given up. */
const TRIES = 3;
/** Replies in a row that brought nothing, after which asking on is of no use. */
const BARREN = 3;

/** Whether a line of a journal belongs to the answers of a teacher. */
export const isAnswerLine = (line: object): line is AnswerLine =>
  "call" in line || "failed" in line || "reply" in line || "imported" in line;

/** All that a teacher has answered so far, as a journal tells it. */
export class Answers {
  readonly byId = new Map<string, string>();
  readonly refused = new Map<string, string[]>();
  readonly imported = new Set<string>();
  readonly ledger = new Ledger();

  constructor(private readonly journal: Pick<Journal, "append">) {}

  /** Counts a line that is in the journal already. */
  take(line: AnswerLine): void {
    if ("imported" in line) this.imported.add(line.imported);
    else this.ledger.take(line);
    if (!("answers" in line)) return;
    for (const [id, text] of line.answers) this.byId.set(id, text);
    for (const { id, why } of line.refused) {
      const before = this.refused.get(id);
      if (before) before.push(why);
      else this.refused.set(id, [why]);
    }
  }

  /** Writes a line and then counts it; a call is counted first, so that no other one overlooks it. */
  async record(line: AnswerLine): Promise<void> {
    if ("call" in line) this.take(line);
    await this.journal.append(JSON.stringify(line));
    if (!("call" in line)) this.take(line);
  }

  /** Items that have no answer and may still be asked for. */
  missing<One extends Item>(items: readonly One[]): One[] {
    return items.filter(({ id }) =>
      !this.byId.has(id) && (this.refused.get(id)?.length ?? 0) < TRIES
    );
  }

  /** What an answer's text says about these items; what is missing in it counts as refused. */
  sift<One extends Item>(
    text: string,
    items: readonly One[],
    task: Task<One>,
    all: boolean,
  ): Sifted {
    const byId = new Map(items.map((item) => [item.id, item]));
    const answers: [string, string][] = [], refused: { id: string; why: string }[] = [];
    for (const one of objectsIn(text)) {
      let value: unknown;
      try {
        value = parseJson(one);
      } catch (error) {
        refused.push({ id: "?", why: `not valid JSON: ${(error as Error).message}` });
        continue;
      }
      const item = isObject(value) ? byId.get(String(value.id)) : undefined;
      if (!item) {
        refused.push({ id: "?", why: `no such id: ${excerpt(one, 40)}` });
        continue;
      }
      byId.delete(item.id);
      const read = task.read(item, value as JsonObject);
      if ("text" in read) answers.push([item.id, read.text]);
      else refused.push({ id: item.id, why: read.why });
    }
    if (all) {
      for (const { id } of byId.values()) refused.push({ id, why: "missing in the answer" });
    }
    return { answers, refused };
  }
}

export interface AskOptions extends CallOptions {
  /** Items in a call. */
  readonly batch: number;
  /** Calls under way at the same time. */
  readonly parallel: number;
  readonly stopped: () => boolean;
  readonly onReply?: (told: { readonly tokens: number; readonly cost?: number }) => void;
}

/**
 * Asks until every item has its answer or was asked for three times. Every reply is in the journal, on the
 * disk, before another call is made.
 * @returns whether it is complete; false where it was stopped
 * @throws Fail where a cap is reached, the teacher refuses, or nothing it brings can be used
 */
export async function askAll<One extends Item>(
  items: readonly One[],
  task: Task<One>,
  teacher: Teacher<Call>,
  answers: Answers,
  o: AskOptions,
): Promise<boolean> {
  let call = answers.ledger.calls, barren = 0;
  let failure: unknown;
  const underWay = new Set<string>();
  const book = {
    ledger: answers.ledger,
    record: (line: Spent) => answers.record(line),
    get far() {
      return `${
        items.filter(({ id }) => answers.byId.has(id)).length
      } of ${items.length} ${task.noun}`;
    },
    less: "nothing that was answered is asked again",
  };
  const halted = () => failure !== undefined || o.stopped();
  const left = () => answers.missing(items).filter(({ id }) => !underWay.has(id));
  const one = async (turn: readonly One[]) => {
    const faults = [...answers.refused.values()].flat().slice(-6);
    const planned = { call: call + 1, prompt: task.prompt(turn, [...new Set(faults)]) };
    const answer = await untilAnswered(teacher, planned, () => ++call, book, o, halted);
    if (!answer) return;
    const sifted = answers.sift(answer.text, turn, task, true);
    await answers.record({ reply: answer.call, ...answer.usage, ...sifted });
    const { input, output } = answers.ledger.used;
    o.onReply?.({
      tokens: input + output,
      ...(o.price ? { cost: costOf({ input, output }, o.price) } : {}),
    });
    barren = sifted.answers.length > 0 ? 0 : barren + 1;
    if (barren >= BARREN) throw useless(sifted, answer.text, task.noun);
  };
  const worker = async () => {
    for (let turn = left().slice(0, o.batch); turn.length > 0 && !halted();) {
      for (const { id } of turn) underWay.add(id);
      try {
        await one(turn);
      } catch (error) {
        failure ??= error;
      } finally {
        for (const { id } of turn) underWay.delete(id);
      }
      turn = left().slice(0, o.batch);
    }
  };
  while (!halted() && left().length > 0) {
    await Promise.all(Array.from({ length: o.parallel }, worker));
  }
  if (failure !== undefined) throw failure;
  return left().length === 0;
}

function useless({ refused }: Sifted, text: string, noun: string): Fail {
  const reasons = [...new Set(refused.map(({ why }) => why))].slice(0, 5);
  return new Fail(`the last ${BARREN} answers brought no ${noun}`, {
    why: reasons.length > 0 ? reasons.join("\n") : `they say: ${excerpt(text, 120)}`,
    fix: "another model, or a smaller --batch",
    exit: Exit.data,
  });
}
