/**
 * The queue in which rows that no person wrote wait for one. A batch is a folder:
 *
 *     QUEUE/synthetic_routing_20261122_163752_1a2b3c/
 *       manifest.json     who made it, when, from what; sizes and hashes: the rows cannot change
 *       items.jsonl       the rows, one a line; item n is line n
 *       schema.yaml       what their answers must be, where that is known (or schema.json)
 *       decisions.jsonl   one act of a person a line, only ever appended to
 *
 * What an item is follows from the decisions alone. An act that decides many items is one line, so it
 * is there whole or not at all. Appending is done under the batch's lock after the decisions of others
 * were read: an item is decided once, and whoever comes second is told.
 */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import {
  type Folder,
  inspectFolder,
  readFolder,
  sweepFolder,
  writeFolder,
} from "../base/folder.ts";
import { openJournal } from "../base/journal.ts";
import { lockFolder } from "../base/lock.ts";
import { sha256 } from "../base/sha256.ts";
import { isObject } from "../base/strict_json.ts";
import { plural, suggest } from "../base/text.ts";

/** Where batches wait unless another folder is named. */
export const QUEUE = "training/review";

/** What a person does with an item. */
export type Act =
  | { readonly item: number; readonly what: "approve" }
  /** Approves it as this text says: one JSON object without a newline. */
  | { readonly item: number; readonly what: "edit"; readonly text: string }
  | { readonly item: number; readonly what: "reject"; readonly reason: string }
  /** Lets it wait again. `of` is the decision that is meant; another one stays. */
  | { readonly item: number; readonly what: "undo"; readonly of?: number };

/** A decision that stands. */
export interface Decision {
  readonly what: "approve" | "edit" | "reject";
  readonly by: string;
  /** UTC, ISO 8601. */
  readonly at: string;
  /** The line of decisions.jsonl, from 1. */
  readonly seq: number;
  readonly reason?: string;
}

export interface Item {
  /** From 1, in the order of the rows. */
  readonly item: number;
  /** The row as it came. */
  readonly text: string;
  /** The row as it stands: edited, or as it came. */
  readonly now: string;
  /** Unset while it waits. */
  readonly decision?: Decision;
}

/** Whether an act was taken; where not, `item` says what stands instead. */
export interface Outcome {
  readonly act: Act;
  readonly taken: boolean;
  readonly item: Item;
}

export interface Counts {
  readonly waiting: number;
  readonly approved: number;
  /** Those of the approved that were edited. */
  readonly edited: number;
  readonly rejected: number;
}

/** What is known of a batch without its rows. */
export interface BatchFacts {
  /** "synthetic_routing_20261122_163752_1a2b3c". */
  readonly id: string;
  readonly path: string;
  /** What the rows are for: "routing". */
  readonly agent: string;
  /** Where they come from, in words. */
  readonly source: string;
  /** UTC, ISO 8601. */
  readonly created: string;
  readonly items: number;
  readonly counts: Counts;
}

export interface NewBatch {
  readonly agent: string;
  readonly source: string;
  /** One JSON object each, without a newline. */
  readonly rows: readonly string[];
  /** What answers must be: the text of a CLI schema (YAML) or of a JSON Schema. */
  readonly schema?: { readonly kind: "yaml" | "json"; readonly text: string };
  readonly now?: Date;
}

interface Meta {
  readonly v: 1;
  readonly agent: string;
  readonly source: string;
  readonly created: string;
  readonly items: number;
  /** SHA-256 of the rows. */
  readonly rows: string;
}

/** One line of decisions.jsonl. */
interface Entry {
  readonly v: 1;
  readonly by: string;
  readonly at: string;
  readonly decisions: readonly Act[];
}

const ITEMS = "items.jsonl", DECISIONS = "decisions.jsonl";

/**
 * Puts rows into the queue. The same rows for the same agent are one batch, however often they are
 * brought, so that whoever is killed while doing so may do it again.
 * @returns the batch's id
 * @throws Fail (data) without rows or for a row that is no JSON object; (disk)
 */
export async function createBatch(queue: string, batch: NewBatch): Promise<string> {
  const { agent, source, rows, schema, now = new Date() } = batch;
  if (rows.length === 0) {
    throw new Fail("there are no rows to review", { why: source, exit: Exit.data });
  }
  for (const [i, row] of rows.entries()) objectOf(row, `row ${i + 1} of ${source}`);
  const text = rows.map((row) => row + "\n").join("");
  const hash = sha256(text);
  using _lock = await patiently(queue);
  await sweepFolder(queue);
  for (const id of batchNames(queue)) {
    const meta = metaOf(inspectFolder(join(queue, id)));
    if (meta.rows === hash && meta.agent === agent) return id;
  }
  const created = now.toISOString();
  const stamp = created.replace(/[-:]|\..*/g, "").replace("T", "_");
  const word = agent.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "");
  const id = `synthetic_${word.slice(0, 60) || "rows"}_${stamp}_${hash.slice(0, 6)}`;
  await writeFolder(join(queue, id), async (put) => {
    await put(ITEMS, text);
    if (schema) await put(`schema.${schema.kind}`, schema.text);
    return { v: 1, agent, source, created, items: rows.length, rows: hash } satisfies Meta;
  });
  return id;
}

/** The batches of a queue by age, the oldest first. @throws Fail for one that is damaged */
export function listBatches(queue: string): BatchFacts[] {
  return batchNames(queue).map((id) => {
    const path = join(queue, id);
    const meta = metaOf(inspectFolder(path));
    const log = new Log(path, meta.items);
    log.read();
    return { ...factsOf(path, id, meta), counts: log.counts() };
  }).sort((a, b) => a.created < b.created ? -1 : a.created > b.created ? 1 : 0);
}

/**
 * Stops where rows of a queue wait for a person.
 * @param id only this batch
 * @throws Fail (approval, exit 10) that says what to type
 */
export function requireReviewed(queue: string, id?: string): void {
  const all = listBatches(queue);
  if (id !== undefined && !all.some((batch) => batch.id === id)) throw unknownBatch(queue, id);
  const waiting = all.filter((batch) =>
    batch.counts.waiting > 0 && (id === undefined || batch.id === id)
  );
  const [first] = waiting;
  if (first === undefined) return;
  const rows = waiting.reduce((sum, { counts }) => sum + counts.waiting, 0);
  throw new Fail(`${plural(rows, "row")} ${rows === 1 ? "waits" : "wait"} for a person's review`, {
    why: waiting.map(({ id, counts, items }) =>
      `${id}: ${counts.waiting} of ${items} are not decided`
    ).join("\n"),
    fix: reviewCommand(queue, first.id),
    exit: Exit.approval,
  });
}

/** What to type to review a batch. */
export function reviewCommand(queue: string, id: string): string {
  const quoted = /^[\w./-]+$/.test(queue) ? queue : `'${queue.replaceAll("'", "'\\''")}'`;
  return `whet data review ${id}${queue === QUEUE ? "" : ` --queue ${quoted}`}`;
}

/** A batch with its rows, as far as decisions were read. */
export class Batch {
  readonly facts: Omit<BatchFacts, "counts">;
  readonly schema: NewBatch["schema"];
  readonly #rows: readonly string[];
  readonly #log: Log;

  private constructor(folder: Folder, id: string) {
    const meta = metaOf(folder);
    this.facts = factsOf(folder.path, id, meta);
    const kind = (["yaml", "json"] as const).find((kind) => folder.files.has(`schema.${kind}`));
    this.schema = kind &&
      { kind, text: readFileSync(join(folder.path, `schema.${kind}`), "utf8") };
    this.#rows = readFileSync(join(folder.path, ITEMS), "utf8").split("\n").slice(0, -1);
    this.#log = new Log(folder.path, meta.items);
    this.#log.read();
  }

  /** @throws Fail (usage) where there is no such batch, naming those there are; (disk) where it is damaged */
  static async open(queue: string, id: string): Promise<Batch> {
    if (!batchNames(queue).includes(id)) throw unknownBatch(queue, id);
    return new Batch(await readFolder(join(queue, id)), id);
  }

  /** Reads what others have decided since. @returns the items that changed */
  refresh(): Item[] {
    return [...this.#log.read()].sort((a, b) => a - b).map((item) => this.item(item));
  }

  get counts(): Counts {
    return this.#log.counts();
  }

  /** @param item from 1 */
  item(item: number): Item {
    const text = this.#rows[item - 1];
    if (text === undefined) throw new RangeError(`there is no item ${item}`);
    const stands = this.#log.standing.get(item);
    return stands
      ? { item, text, now: stands.text ?? text, decision: stands.decision }
      : { item, text, now: text };
  }

  items(): Item[] {
    return this.#rows.map((_, i) => this.item(i + 1));
  }

  /** The rows that may train, edited ones as edited, in their order. */
  approved(): string[] {
    return this.items().filter(({ decision }) => decision && decision.what !== "reject")
      .map(({ now }) => now);
  }

  /**
   * Writes down what a person decides; on the disk when it returns. All acts are one line of the log.
   * An act is not taken where its item is decided already (undo: where it waits, or another decision
   * than `of` stands), or was decided by an earlier act of the same call.
   * @throws Fail (data) for an unknown item, an edit that is no JSON object or a rejection without a
   * reason, and then nothing is written; (disk)
   */
  async decide(by: string, acts: readonly Act[], now = new Date()): Promise<Outcome[]> {
    for (const act of acts) this.#mustFit(act);
    using _lock = await patiently(this.facts.path);
    // Cuts off what a killed process left unfinished.
    const journal = await openJournal(join(this.facts.path, DECISIONS));
    try {
      this.#log.read();
      const decided = new Set<number>();
      const taken = acts.map((act) => {
        const free = this.#log.accepts(act) && !decided.has(act.item);
        if (free) decided.add(act.item);
        return free;
      });
      const decisions = acts.filter((_, i) => taken[i]);
      if (decisions.length > 0) {
        const entry: Entry = { v: 1, by, at: now.toISOString(), decisions };
        await journal.append(JSON.stringify(entry));
        this.#log.read();
      }
      return acts.map((act, i) => ({ act, taken: taken[i]!, item: this.item(act.item) }));
    } finally {
      await journal.close();
    }
  }

  #mustFit(act: Act): void {
    const { id, items } = this.facts;
    const refuse = (what: string, why: string) => new Fail(what, { why, exit: Exit.data });
    if (!Number.isInteger(act.item) || act.item < 1 || act.item > items) {
      throw refuse(`${id} has no item ${act.item}`, `its items are 1 to ${items}`);
    }
    if (act.what === "edit") objectOf(act.text, `the edit of item ${act.item}`);
    if (act.what === "reject" && act.reason.trim() === "") {
      throw refuse(`item ${act.item} is rejected without a reason`, "the log is to say why");
    }
  }
}

/** The decisions of a batch, read as the file grows. */
class Log {
  readonly standing = new Map<number, { readonly decision: Decision; readonly text?: string }>();
  #at = 0;
  #seq = 0;

  constructor(readonly folder: string, readonly items: number) {}

  /** Takes in the whole lines that are new. @returns the items they are about */
  read(): Set<number> {
    const path = join(this.folder, DECISIONS);
    const changed = new Set<number>();
    if (!existsSync(path)) return changed;
    const bytes = restOf(path, this.#at);
    // What stands behind the last newline is being written, or was left by a crash.
    const end = bytes.lastIndexOf(10) + 1;
    for (const line of bytes.toString("utf8", 0, end).split("\n").slice(0, -1)) {
      this.#seq++;
      try {
        const { v, by, at, decisions } = JSON.parse(line) as Entry;
        if (v !== 1) throw new Error(`it has format ${v}; this whet knows 1`);
        for (const act of decisions) {
          this.#take(act, by, at);
          changed.add(act.item);
        }
      } catch (error) {
        throw new Fail(`${path} is damaged in line ${this.#seq}`, {
          why: error instanceof Error ? error.message : String(error),
          fix: "take that line out with an editor; the items it decided wait again",
          exit: Exit.data,
        });
      }
    }
    this.#at += end;
    return changed;
  }

  accepts(act: Act): boolean {
    const stands = this.standing.get(act.item);
    if (act.what !== "undo") return stands === undefined;
    return stands !== undefined && (act.of === undefined || act.of === stands.decision.seq);
  }

  #take(act: Act, by: string, at: string): void {
    if (!(act.item >= 1 && act.item <= this.items)) throw new Error(`there is no item ${act.item}`);
    if (!this.accepts(act)) {
      throw new Error(`item ${act.item} ${act.what === "undo" ? "waits" : "is decided"} already`);
    }
    const seq = this.#seq;
    switch (act.what) {
      case "undo":
        this.standing.delete(act.item);
        break;
      case "approve":
        this.standing.set(act.item, { decision: { what: "approve", by, at, seq } });
        break;
      case "edit":
        objectOf(act.text, `the edit of item ${act.item}`);
        this.standing.set(act.item, {
          decision: { what: "edit", by, at, seq },
          text: act.text,
        });
        break;
      case "reject": {
        const { reason } = act;
        this.standing.set(act.item, { decision: { what: "reject", by, at, seq, reason } });
        break;
      }
      default:
        throw new Error("it holds an unknown kind of decision");
    }
  }

  counts(): Counts {
    const of = { approve: 0, edit: 0, reject: 0 };
    for (const { decision } of this.standing.values()) of[decision.what]++;
    return {
      waiting: this.items - this.standing.size,
      approved: of.approve + of.edit,
      edited: of.edit,
      rejected: of.reject,
    };
  }
}

function restOf(path: string, from: number): Buffer {
  const fd = openSync(path, "r");
  try {
    const parts: Buffer[] = [];
    for (let at = from;;) {
      const part = Buffer.alloc(2 ** 16);
      const n = readSync(fd, part, 0, part.length, at);
      if (n === 0) return Buffer.concat(parts);
      parts.push(part.subarray(0, n));
      at += n;
    }
  } finally {
    closeSync(fd);
  }
}

/** @throws Fail (data) where a text is not one JSON object on one line */
function objectOf(text: string, what: string): void {
  const refuse = (why: string) =>
    new Fail(`${what} is no row`, {
      why,
      fix: 'a row is one JSON object, such as {"prompt": "…", "completion": "…"}',
      exit: Exit.data,
    });
  if (text.includes("\n")) throw refuse("it stands on several lines");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refuse(error instanceof Error ? error.message : String(error));
  }
  if (!isObject(value)) throw refuse("it is no JSON object");
}

function batchNames(queue: string): string[] {
  if (!existsSync(queue)) return [];
  return readdirSync(queue).filter((name) =>
    /^[a-z0-9][a-z0-9_]*$/.test(name) && existsSync(join(queue, name, "manifest.json"))
  ).sort();
}

function metaOf(folder: Folder): Meta {
  const meta = folder.meta as Meta;
  if (meta?.v === 1 && folder.files.has(ITEMS)) return meta;
  throw new Fail(`${folder.path} is no batch of rows that this whet can read`, {
    why: "it was written by another program or another version",
    fix: "move it out of the queue",
    exit: Exit.data,
  });
}

const factsOf = (path: string, id: string, { agent, source, created, items }: Meta) => ({
  id,
  path,
  agent,
  source,
  created,
  items,
});

function unknownBatch(queue: string, id: string): Fail {
  const names = batchNames(queue);
  const near = suggest(id, names);
  return new Fail(`there is no batch "${id}" in ${queue}`, {
    why: names.length === 0
      ? "nothing waits there"
      : `there ${names.length === 1 ? "is" : "are"}: ${names.join(", ")}`,
    fix: near ?? names[0]
      ? reviewCommand(queue, near ?? names[0]!)
      : "whet data review FILE.jsonl puts the rows of a file there",
    exit: Exit.usage,
  });
}

/** Whoever holds the lock writes one line and lets go, so waiting a little is enough. */
async function patiently(folder: string): Promise<Disposable> {
  for (const until = Date.now() + 10_000;;) {
    try {
      // Not blocking: the holder may be in this process.
      return await lockFolder(folder, 0);
    } catch (error) {
      const busy = error instanceof Fail && error.message.includes(" is in use by ");
      if (!busy || Date.now() > until) throw error;
      await Bun.sleep(2 + 10 * Math.random());
    }
  }
}
