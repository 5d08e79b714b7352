import { availableParallelism } from "node:os";
import { createThreads, threadProgram } from "../base/threads.ts";
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

/**
 * A quantiser of `count` threads, by default one for each processor. Only K formats, and what is
 * searched by an importance matrix, are worth threads, and only from half a million values on; the rest
 * is done at once. What a thread fails to
 * do is done here. `program` is another one for the threads, for tests.
 */
export function createQuantizer(
  count: number = Math.min(availableParallelism(), mostThreads),
  program = threadProgram("src/export/quantize_worker.ts"),
): Quantizer {
  const pool = createThreads<Task, Uint8Array>(
    count,
    program,
    ({ values }) => [values.buffer as ArrayBuffer],
  );
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
    [Symbol.dispose]: () => pool[Symbol.dispose](),
  };
}
