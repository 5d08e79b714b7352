/** What rows say by themselves, without those before them: the part of a check that threads can do. */
import { Balance, type Counted } from "./balance.ts";
import { lineValue, type Value } from "./json_values.ts";
import { type AnyRow, anyRow, contentOf, type Kind } from "./kinds.ts";
import { type RowOptions, statedIn } from "./rows.ts";
import { BINS, hashOf, sign, type TextHash } from "./similar.ts";

/** What a row is compared by. */
export interface Marks {
  readonly content: TextHash;
  /** Of rows that may contradict each other: the question in its surroundings. */
  readonly question?: TextHash;
  /** For near copies; of rows that have texts. */
  readonly signature?: Uint8Array;
}

/** @param out where the signature goes, 64 bytes; it is not copied */
export function marksOf(row: AnyRow, out: Uint8Array): Marks {
  const text = compared(row);
  if (text !== undefined) sign(text, out);
  return {
    content: hashOf(row.content),
    ...(row.kind === "sft" && row.asked !== undefined ? { question: hashOf(questionOf(row)) } : {}),
    ...(text === undefined ? {} : { signature: out }),
  };
}

/** What near copies are found by: question and answer, without what all rows share (the system text). */
function compared(row: AnyRow): string | undefined {
  if (row.asked !== undefined) return `${row.asked}\n${row.answer ?? ""}`;
  return row.example && "text" in row.example ? row.example.text : undefined;
}

/** A question in its surroundings: the same words after another system text are another question. */
function questionOf({ example, asked }: AnyRow): string {
  if (!example || !("messages" in example)) return asked!;
  return contentOf(example.messages.slice(0, -1));
}

/** Counts of what good rows are, whatever their order. */
export class Tally {
  readonly forms: Record<string, number> = {};
  /** Answers by what they are, where rows follow the clitron form. */
  readonly mix = { withContext: 0, without: 0, negative: 0 };
  readonly balance: Balance;

  /** @param fields fields of answers that are counted at most; the usual number where not given */
  constructor(fields?: number) {
    this.balance = new Balance(fields);
  }

  add(row: AnyRow, value: unknown): void {
    this.forms[row.form] = (this.forms[row.form] ?? 0) + 1;
    if (row.kind === "sft" && row.answer !== undefined) this.balance.add(statedIn(row.answer));
    if (row.form === "clitron") this.#mixOf(value, row.answer!);
  }

  #mixOf(value: unknown, answer: string) {
    const { context } = value as { context?: unknown };
    if (/"type"\s*:\s*"clarification"/.test(answer)) this.mix.negative++;
    else if (context === null || context === "") this.mix.without++;
    else this.mix.withContext++;
  }

  /** Adds the counts of the rows that follow. */
  take({ forms, mix, fields }: Pick<Looks, "forms" | "mix" | "fields">): void {
    for (const [form, n] of Object.entries(forms)) this.forms[form] = (this.forms[form] ?? 0) + n;
    this.mix.withContext += mix.withContext;
    this.mix.without += mix.without;
    this.mix.negative += mix.negative;
    this.balance.take(fields);
  }
}

/** Lines that follow each other in a file, as a thread is sent them. */
export interface Batch {
  /** The number of the first line. */
  readonly first: number;
  /** The lines without their ends, one after the other. */
  readonly bytes: Uint8Array;
  /** Where in `bytes` each line ends. */
  readonly ends: Uint32Array;
  /** Bytes of the last line, which is cut where it is too long. */
  readonly length: number;
  /** Whether the last line has an end. */
  readonly ended: boolean;
}

/** With what a thread needs to know of the file. */
export interface LookTask extends Batch {
  readonly kind: Kind;
  readonly options: RowOptions;
}

/** What a row has, in bits. */
export const BAD = 1, SIGNED = 2, QUESTION = 4;
/** Words of a row: its line, its length in characters, the hashes of its content and its question. */
export const WORDS = 6;

/** What the rows of a batch say by themselves. */
export interface Looks {
  readonly has: Uint8Array;
  /** Six a row. */
  readonly words: Uint32Array;
  /** 64 bytes a row. */
  readonly signatures: Uint8Array;
  /** Rows that cannot be used, as they are: what is said of them depends on where they stand. */
  readonly bad: readonly Value[];
  readonly forms: Readonly<Record<string, number>>;
  readonly mix: Readonly<Tally["mix"]>;
  readonly fields: Counted;
}

/** The values on the lines of a batch. */
export function* valuesOf({ first, bytes, ends, length, ended }: Batch): Generator<Value> {
  const last = ends.length - 1;
  for (let i = 0, from = 0; i <= last; from = ends[i++]!) {
    const line = bytes.subarray(from, ends[i]!);
    const value = lineValue({
      number: first + i,
      bytes: line,
      length: i === last ? length : line.length,
      ended: i < last || ended,
    });
    if (value) yield value;
  }
}

/** Looks at every row of a batch. */
export function lookAt(task: LookTask): Looks {
  const most = task.ends.length;
  const has = new Uint8Array(most), words = new Uint32Array(WORDS * most);
  const signatures = new Uint8Array(BINS * most);
  const bad: Value[] = [];
  const tally = new Tally(Infinity);
  let n = 0;
  for (const value of valuesOf(task)) {
    const row = anyRow(value, 0, task.kind, task.options);
    const at = n++;
    if ("problem" in row) {
      has[at] = BAD;
      bad.push(value);
      continue;
    }
    const { content, question, signature } = marksOf(
      row,
      signatures.subarray(BINS * at, BINS * (at + 1)),
    );
    has[at] = (signature ? SIGNED : 0) | (question ? QUESTION : 0);
    words.set([value.line, row.content.length, content.low, content.high], WORDS * at);
    if (question) words.set([question.low, question.high], WORDS * at + 4);
    tally.add(row, value.value);
  }
  const { forms, mix, balance: { counted: fields } } = tally;
  return { has: has.subarray(0, n), words, signatures, bad, forms, mix, fields };
}
