/** Importance matrices of llama.cpp: what the inputs of each linear layer are like (tools/imatrix). */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { Written } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { openGguf } from "./gguf.ts";
import { blockType } from "./gguf_blocks.ts";
import { array, integerAt, stringAt, stringsAt, text, u32 } from "./gguf_types.ts";
import { writeGguf } from "./gguf_write.ts";
import { readExactly } from "./safetensors.ts";

export interface ImportanceMatrix {
  /** Mean square of each input column, by the GGUF name of the weight, "blk.0.attn_q.weight". */
  readonly columns: ReadonlyMap<string, Float32Array>;
  /** How many pieces of text were seen; 0 where the file does not say. */
  readonly chunks: number;
  /** What the numbers were taken from, as the file says. */
  readonly dataset: string | undefined;
}

const largestFile = 2 ** 30;

const broken = (path: string, what: string) =>
  new Fail(`${path}: ${what}`, {
    why: "it is no importance matrix of llama.cpp, or is damaged",
    fix: "make one with whet imatrix, or name another file",
    exit: Exit.data,
  });

/**
 * Reads an importance matrix in either of llama.cpp's forms: GGUF, or the older one (mostly .dat).
 *
 * @throws Fail (data) when it is neither, is damaged, or holds a number that is negative or not finite
 */
export function readImatrix(path: string): ImportanceMatrix {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const what = code === "ENOENT" ? "there is no such file" : `cannot be opened (${code})`;
    throw new Fail(`${path}: ${what}`, { fix: "check the path", exit: Exit.data, cause });
  }
  try {
    const stat = fstatSync(fd), size = stat.size;
    if (!stat.isFile()) throw broken(path, "not a regular file");
    if (size > largestFile) throw broken(path, `${size} bytes are too many`);
    const magic = new Uint8Array(4);
    readSync(fd, magic, 0, 4, 0);
    const gguf = new TextDecoder().decode(magic) === "GGUF";
    if (gguf) return checked(path, fromGguf(path));
    const bytes = new Uint8Array(size);
    readExactly(fd, bytes, 0, path);
    return checked(path, fromLegacy(path, bytes));
  } finally {
    closeSync(fd);
  }
}

function checked(path: string, matrix: ImportanceMatrix): ImportanceMatrix {
  for (const [name, values] of matrix.columns) {
    const bad = values.find((value) => !(value >= 0 && value < Infinity));
    if (bad !== undefined) throw broken(path, `${name} holds ${bad}`);
  }
  if (matrix.columns.size === 0) throw broken(path, "it holds no tensor");
  return matrix;
}

/** Sums over counts, matrix by matrix; 1 where nothing was counted. */
function means(sums: Float32Array, counts: Float32Array): Float32Array {
  const width = sums.length / counts.length;
  return sums.map((sum, i) => {
    const count = counts[Math.floor(i / width)]!;
    return count > 0 ? sum / count : 1;
  });
}

const SUMS = ".in_sum2", COUNTS = ".counts";

function fromGguf(path: string): ImportanceMatrix {
  using file = openGguf(path);
  const { metadata } = file;
  if (stringAt(metadata, "general.type") !== "imatrix") {
    throw broken(path, "this GGUF file is a model, not an importance matrix");
  }
  const columns = new Map<string, Float32Array>();
  for (const key of file.tensors.keys()) {
    if (!key.endsWith(SUMS)) continue;
    const name = key.slice(0, -SUMS.length);
    if (!file.tensors.has(name + COUNTS)) throw broken(path, `${name} has no counts`);
    const sums = file.readF32(key), counts = file.readF32(name + COUNTS);
    if (counts.length === 0 || sums.length % counts.length !== 0) {
      throw broken(path, `${name} has ${sums.length} sums for ${counts.length} counts`);
    }
    columns.set(name, means(sums, counts));
  }
  return {
    columns,
    chunks: integerAt(metadata, "imatrix.chunk_count") ?? 0,
    dataset: stringsAt(metadata, "imatrix.datasets")?.at(-1),
  };
}

/**
 * i32 entries; each an i32 length and its name, i32 calls, i32 count and as many f32 (means times
 * calls); then, in newer ones, i32 chunks and the dataset's name with its length.
 */
function fromLegacy(path: string, bytes: Uint8Array): ImportanceMatrix {
  const view = new DataView(bytes.buffer);
  let at = 0;
  const take = (count: number) => {
    if (count < 0 || at + count > bytes.length) {
      throw broken(path, `cut short or no importance matrix (byte ${at})`);
    }
    at += count;
    return at - count;
  };
  const i32 = () => view.getInt32(take(4), true);
  const string = () => {
    const length = i32(), from = take(length);
    return new TextDecoder().decode(bytes.subarray(from, from + length));
  };
  const columns = new Map<string, Float32Array>();
  for (let left = i32(); left > 0; left--) {
    const name = string(), calls = i32(), count = i32(), from = take(4 * count);
    columns.set(
      name,
      Float32Array.from({ length: count }, (_, i) => {
        const value = view.getFloat32(from + 4 * i, true);
        return calls > 0 ? value / calls : value;
      }),
    );
  }
  if (at === bytes.length) return { columns, chunks: 0, dataset: undefined };
  const chunks = i32();
  return { columns, chunks, dataset: at < bytes.length ? string() : undefined };
}

/** What was seen of the inputs of one weight. */
export interface InputSums {
  /** Σ x² of each column. */
  readonly squares: Float64Array;
  /** Over how many tokens. */
  readonly count: number;
}

/** Writes an importance matrix in llama.cpp's GGUF form: names in order, as its own tool has them. */
export async function writeImatrix(
  path: string,
  sums: ReadonlyMap<string, InputSums>,
  { chunks, chunkSize, dataset }: {
    readonly chunks: number;
    /** Tokens of a chunk. */
    readonly chunkSize: number;
    readonly dataset: string;
  },
): Promise<Written> {
  const type = blockType("f32");
  const tensor = (name: string, values: Float32Array) => ({
    name,
    type,
    shape: [1, values.length],
    chunks: () => [new Uint8Array(values.buffer)],
  });
  const names = [...sums.keys()].sort();
  return await writeGguf(path, {
    metadata: new Map([
      ["general.type", text("imatrix")],
      ["imatrix.datasets", array("string", [dataset])],
      ["imatrix.chunk_count", u32(chunks)],
      ["imatrix.chunk_size", u32(chunkSize)],
    ]),
    tensors: names.flatMap((name) => {
      const { squares, count } = sums.get(name)!;
      return [
        tensor(name + SUMS, Float32Array.from(squares)),
        tensor(name + COUNTS, Float32Array.of(count)),
      ];
    }),
  });
}
