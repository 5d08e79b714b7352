import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { blockCodec, type BlockType, bytesOf } from "../formats/gguf_blocks.ts";
import type { Task } from "./quantize_worker.ts";

/** Quantises on all processors. Disposing it ends its threads. */
export interface Quantizer extends Disposable {
  /**
   * The bytes of `values`, whole blocks. Does not keep them.
   * @param importance see BlockCodec: values are then whole rows
   */
  quantize(
    type: BlockType,
    values: Float32Array,
    importance?: Float32Array,
  ): Promise<Uint8Array>;
  /** How many threads are running. */
  readonly running: number;
}

/** Values a thread gets at once: 1 MiB, some 10 ms of work. */
const taskValues = 1 << 18;
const mostThreads = 16;

function here(type: BlockType, values: Float32Array, importance?: Float32Array): Uint8Array {
  const bytes = new Uint8Array(bytesOf(type, values.length));
  blockCodec(type.name).quantize(values, bytes, importance);
  return bytes;
}

interface Waiting {
  readonly task: Task;
  resolve(bytes: Uint8Array | undefined): void;
}

/** In the binary sources have the paths they have in the repository. */
const ownProgram = (): string | URL =>
  Bun.isStandaloneExecutable
    ? "./src/export/quantize_worker.ts"
    : new URL("./quantize_worker.ts", import.meta.url);

/** Threads that take tasks in the order they come, started with the first of them. */
function threads(count: number, program: string | URL = ownProgram()) {
  const queue: Waiting[] = [];
  const idle: (() => void)[] = [];
  const all = new Set<Worker>();
  let started = false;

  function start(): void {
    const worker = new Worker(program);
    let current: Waiting | undefined;
    const next = () => {
      current = queue.shift();
      if (current === undefined) return void idle.push(next);
      worker.postMessage(current.task, [current.task.values.buffer as ArrayBuffer]);
    };
    // What a lost thread was at stays undone, and with the last of them all that waits.
    const lost = () => {
      all.delete(worker);
      if (idle.includes(next)) idle.splice(idle.indexOf(next), 1);
      current?.resolve(undefined);
      current = undefined;
      if (all.size === 0) { for (const { resolve } of queue.splice(0)) resolve(undefined); }
    };
    worker.on("message", (bytes: Uint8Array) => {
      current?.resolve(bytes);
      next();
    });
    worker.on("error", lost);
    worker.on("exit", lost);
    all.add(worker);
    next();
  }

  return {
    /** The bytes, undefined when no thread could make them. */
    run(task: Task): Promise<Uint8Array | undefined> {
      if (!started) { for (let i = 0; i < count; i++) start(); }
      started = true;
      if (all.size === 0) return Promise.resolve(undefined);
      return new Promise((resolve) => {
        queue.push({ task, resolve });
        idle.pop()?.();
      });
    },
    get running() {
      return all.size;
    },
    end(): void {
      for (const worker of all) {
        worker.removeAllListeners();
        void worker.terminate();
      }
    },
  };
}

/**
 * A quantiser of `count` threads, by default one for each processor. Only K formats, and what is
 * searched by an importance matrix, are worth threads, and only from half a million values on; the rest
 * is done at once. What a thread fails to
 * do is done here. `program` is another one for the threads, for tests.
 */
export function createQuantizer(
  count: number = Math.min(availableParallelism(), mostThreads),
  program?: string | URL,
): Quantizer {
  const pool = threads(count, program);
  const one = async (type: BlockType, values: Float32Array, importance?: Float32Array) =>
    await pool.run({ type: type.name, values: values.slice(), importance }) ??
      here(type, values, importance);
  return {
    async quantize(type, values, importance) {
      const light = type.block < 256 && !(importance && type.name !== "q8_0");
      if (light || values.length < 2 * taskValues || count < 2) {
        return here(type, values, importance);
      }
      const rows = importance ? importance.length : 256;
      const step = Math.max(1, Math.floor(taskValues / rows)) * rows;
      const starts = Array.from({ length: Math.ceil(values.length / step) }, (_, i) => i * step);
      const out = new Uint8Array(bytesOf(type, values.length));
      await Promise.all(starts.map(async (start) => {
        const bytes = await one(type, values.subarray(start, start + step), importance);
        out.set(bytes, bytesOf(type, start));
      }));
      return out;
    },
    get running() {
      return pool.running;
    },
    [Symbol.dispose]: pool.end,
  };
}
