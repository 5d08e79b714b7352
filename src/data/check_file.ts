import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { availableParallelism } from "node:os";
import { createThreads, threadProgram } from "../base/threads.ts";
import type { Checker } from "./check.ts";
import { jsonValues, LINE_LIMIT, type Value } from "./json_values.ts";
import { splitLines } from "./lines.ts";
import { type Batch, lookAt, type Looks, type LookTask, valuesOf } from "./look.ts";
import { byteStream } from "./rows.ts";

/** Bytes of a file from which on threads are worth their start. */
const LARGE = 16e6;
/** Bytes of lines, and lines, that a thread gets at once: some 10 ms of work. */
const BATCH_BYTES = 2 ** 19, BATCH_LINES = 2 ** 14;
/** Each needs some 60 MB, and two are enough for 50 MB/s. */
const MOST_THREADS = 2;
/** Bytes of rows after which memory is given back. */
const COLLECT = 32 * 2 ** 20;

export interface CheckFileOptions {
  /** What is done with every value; with it one thread reads. */
  readonly each?: (value: Value) => void;
  /** Threads of a large file, by default one for each processor; with 0 there are none. */
  readonly threads?: number;
  /** Bytes of a file that is large. */
  readonly large?: number;
  /** Another program for the threads, for tests. */
  readonly program?: string | URL;
}

/**
 * Checks the rows of a file, or of standard input ("-"), in their order. The lines of a large file
 * are read by several threads, which changes nothing in the report; not where rows are checked with
 * a schema or a model, which threads do not have.
 * @throws Fail (exit 3) where it cannot be read
 */
export async function checkFile(
  path: string,
  checker: Checker,
  options: CheckFileOptions = {},
): Promise<void> {
  const { each, large = LARGE } = options;
  const threads = options.threads ?? Math.min(availableParallelism(), MOST_THREADS);
  const { problems, tokens } = checker.options;
  if (threads > 0 && !problems && !tokens && !each && path !== "-" && manyLines(path, large)) {
    await inThreads(path, checker, threads, options.program);
    return;
  }
  const collect = collector();
  for await (const value of jsonValues(byteStream(path))) {
    checker.row(value);
    collect(value.text.length);
    each?.(value);
  }
}

/** Left to itself the garbage collector lets garbage grow to several times what is in use. */
function collector(): (bytes: number) => void {
  let read = 0;
  return (bytes) => {
    if ((read += bytes) <= COLLECT) return;
    Bun.gc(true);
    read = 0;
  };
}

/** Whether a file is large, and begins as one object a line does: then it is no array, and nothing else. */
function manyLines(path: string, large: number): boolean {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return false; // The one who reads it says why.
  }
  try {
    const stat = fstatSync(file);
    if (!stat.isFile() || stat.size < large) return false;
    const head = new Uint8Array(5);
    readSync(file, head, 0, head.length, 0);
    const [open, next] = withoutMark(head);
    return open === 0x7b && next !== 0;
  } finally {
    closeSync(file);
  }
}

const withoutMark = (bytes: Uint8Array) =>
  bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;

async function inThreads(
  path: string,
  checker: Checker,
  threads: number,
  program = threadProgram("src/data/look_worker.ts"),
): Promise<void> {
  using pool = createThreads<LookTask, Looks>(threads, program);
  const collect = collector();
  const waiting: { readonly task: LookTask; readonly looks: Promise<Looks | undefined> }[] = [];
  const takeFirst = async () => {
    const { task, looks } = waiting.shift()!;
    checker.take(await looks ?? lookAt(task));
    collect(task.bytes.length);
  };
  const { map, system, vocabulary, jsonIndent } = checker.options;
  for await (const batch of batches(path)) {
    const { kind } = checker;
    if (kind === undefined) {
      // The first row says what kind the others are.
      for (const value of valuesOf(batch)) checker.row(value);
      continue;
    }
    const task: LookTask = { ...batch, kind, options: { map, system, vocabulary, jsonIndent } };
    waiting.push({ task, looks: pool.run(task) });
    if (waiting.length > 2 * threads) await takeFirst();
  }
  while (waiting.length > 0) await takeFirst();
}

/** The lines of a file, many at a time; a very long one by itself. */
async function* batches(path: string): AsyncGenerator<Batch> {
  let bytes = new Uint8Array(BATCH_BYTES), used = 0, first = 1, ends: number[] = [];
  let last = { length: 0, ended: true };
  const cut = (): Batch => {
    const batch = { first, bytes: bytes.subarray(0, used), ends: Uint32Array.from(ends), ...last };
    first += ends.length;
    [bytes, used, ends] = [new Uint8Array(BATCH_BYTES), 0, []];
    return batch;
  };
  for await (const raw of splitLines(byteStream(path), LINE_LIMIT)) {
    const line = raw.number === 1 ? withoutMark(raw.bytes) : raw.bytes;
    if (used + line.length > bytes.length || ends.length === BATCH_LINES) {
      if (ends.length > 0) yield cut();
      if (line.length > bytes.length) bytes = new Uint8Array(line.length);
    }
    bytes.set(line, used);
    ends.push(used += line.length);
    last = { length: raw.length, ended: raw.ended };
  }
  if (ends.length > 0) yield cut();
}
