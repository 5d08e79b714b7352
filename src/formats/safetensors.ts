/** Safetensors files: https://huggingface.co/docs/safetensors (format section). */
import { Buffer } from "node:buffer";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { convertible, type Dtype, dtypeBits, toF32 } from "../base/bits.ts";
import { type Chunks, writeFile, type Written } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { isObject, type Json, JsonError, parseJson } from "../base/strict_json.ts";

const maxHeader = 100_000_000;
const maxTensors = 200_000;
const maxName = 512;
const maxRank = 64;
const piece = 64 * 2 ** 20;
const again = "The file is damaged or was made by a faulty program: fetch or write it again.";

export interface TensorInfo {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface Header {
  /** In the order of their data. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: ReadonlyMap<string, string>;
}

function bad(file: string, offset: number, what: string, fix = again): Fail {
  return new Fail(`${file}: byte ${offset}: ${what}`, { fix, exit: Exit.data });
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 100));
}

/** Size in bytes of a tensor in exact arithmetic, or undefined if it is no whole number of bytes. */
function tensorBytes(dtype: Dtype, shape: readonly number[]): bigint | undefined {
  const bits = shape.reduce((product, n) => product * BigInt(n), BigInt(dtypeBits[dtype]));
  return bits % 8n === 0n ? bits / 8n : undefined;
}

function isDtype(value: Json | undefined): value is Dtype {
  return typeof value === "string" && Object.hasOwn(dtypeBits, value);
}

function isNaturals(value: Json | undefined): value is number[] {
  return Array.isArray(value) && value.every((n) => typeof n === "number");
}

/**
 * Checks and reads the JSON header of a safetensors file. Every tensor lies in the data, without
 * overlap or gap, with a size that equals its shape times its element size.
 * @param json the header bytes, which start at byte 8 of the file
 * @param fileSize size of the whole file in bytes
 * @param file its name, for errors
 * @throws Fail (exit 3) with the byte offset
 */
export function parseHeader(json: Uint8Array, fileSize: number, file: string): Header {
  if (json[0] !== 0x7b) throw bad(file, 8, "the header does not start with '{'");
  let root: Json;
  try {
    root = parseJson(json, { maxDepth: 4, maxValues: 20 * maxTensors, naturals: true });
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw bad(file, 8 + error.offset, `the header is not valid JSON: ${error.message}`);
  }
  if (!isObject(root)) throw bad(file, 8, "the header is not an object");

  const at = (name: string) => 8 + Math.max(0, Buffer.from(json).indexOf(JSON.stringify(name)));
  const metadata = new Map<string, string>();
  const tensors: [string, TensorInfo][] = [];
  const start = 8 + json.length;
  for (const [name, entry] of Object.entries(root)) {
    const refuse = (what: string) => bad(file, at(name), what);
    if (name === "__metadata__") {
      if (!isObject(entry)) throw refuse("__metadata__ is not an object");
      for (const [key, text] of Object.entries(entry)) {
        if (typeof text !== "string") throw refuse("__metadata__ holds something that is not text");
        metadata.set(key, text);
      }
      continue;
    }
    if (Buffer.byteLength(name) > maxName) throw refuse(`a name longer than ${maxName} bytes`);
    if (tensors.length === maxTensors) throw refuse(`more than ${maxTensors} tensors`);
    if (!isObject(entry)) throw refuse(`${shown(name)} is not an object`);
    const { dtype, shape, data_offsets: range, ...rest } = entry;
    const unknown = Object.keys(rest)[0];
    if (unknown !== undefined) {
      throw refuse(`${shown(name)} has an unknown key ${JSON.stringify(unknown.slice(0, 100))}`);
    }
    if (!isDtype(dtype)) {
      throw refuse(`${shown(name)} has an unknown dtype ${JSON.stringify(dtype)}`);
    }
    if (!isNaturals(shape) || shape.length > maxRank) {
      throw refuse(`the shape of ${shown(name)} is not a list of at most ${maxRank} integers`);
    }
    if (!isNaturals(range) || range.length !== 2) {
      throw refuse(`data_offsets of ${shown(name)} is not a pair of integers`);
    }
    const [from, to] = range as [number, number];
    if (from > to) throw refuse(`${shown(name)} ends (${to}) before it begins (${from})`);
    if (to > fileSize - start) {
      throw refuse(
        `${shown(name)} ends at ${to}, but the file has ${fileSize - start} bytes of data`,
      );
    }
    const expected = tensorBytes(dtype, shape);
    if (expected !== BigInt(to - from)) {
      const need = expected === undefined ? "no whole number of" : expected.toString();
      throw refuse(
        `${shown(name)} [${shape}] ${dtype} needs ${need} bytes, data_offsets has ${to - from}`,
      );
    }
    tensors.push([name, { dtype, shape, offset: start + from, bytes: to - from }]);
  }

  tensors.sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let end = start;
  for (const [name, { offset, bytes }] of tensors) {
    if (offset !== end) {
      const what = offset < end ? "overlaps the tensor before it" : `leaves a gap from byte ${end}`;
      throw bad(file, at(name), `${shown(name)} at byte ${offset} ${what}`);
    }
    end += bytes;
  }
  if (end !== fileSize) {
    throw bad(file, end, `the tensors end here, but the file goes on to byte ${fileSize}`);
  }
  return { tensors: new Map(tensors), metadata };
}

/** What a file without a JSON header is, as far as its first bytes tell. */
function otherKind(head: Uint8Array): readonly [what: string, fix: string] | undefined {
  const text = Buffer.from(head).toString("latin1");
  if (text.startsWith("version https://git-lfs")) {
    return ["this is a Git-LFS pointer, not the weights", "Fetch the real file: git lfs pull"];
  }
  if (text.startsWith("GGUF")) return ["this is a GGUF file", "Rename it to .gguf."];
  if (text.startsWith("PK\x03\x04") || text.startsWith("\x80\x02")) {
    return [
      "this is a pickled PyTorch file, which can run code when opened",
      "Save the model as safetensors: model.save_pretrained(dir)",
    ];
  }
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) {
    return [
      "this is a web page, not the weights",
      "Download the file again, and log in if needed.",
    ];
  }
  return undefined;
}

/** Reads exactly `target.length` bytes at a position, in pieces of at most 64 MiB. */
export function readExactly(fd: number, target: Uint8Array, position: number, file: string): void {
  for (let at = 0; at < target.length;) {
    const n = readSync(fd, target, at, Math.min(piece, target.length - at), position + at);
    if (n <= 0) throw bad(file, position + at, "the file ended while it was read");
    at += n;
  }
}

/** An open safetensors file: only ranges that are asked for are ever in memory. */
export interface Safetensors extends Header, Disposable {
  readonly path: string;
  /** The header as it is in the file, for identity. */
  readonly header: Uint8Array;
  /**
   * Bytes `from` (included) to `to` (excluded) of a tensor; all of it unless given. They are put at the
   * start of `into` where that is given: who reads much spares the system making and clearing memory.
   */
  readBytes(name: string, from?: number, to?: number, into?: Uint8Array): Uint8Array;
  /** Rows of a tensor (its first dimension; a scalar is one row) as float32. */
  readF32(name: string, rowFrom?: number, rowTo?: number): Float32Array;
  close(): void;
}

/**
 * Opens a safetensors file and checks its whole structure; no tensor can be had from a file that
 * fails a check.
 * @throws Fail (exit 3) with file and byte offset
 */
export function openSafetensors(path: string): Safetensors {
  let fd: number;
  try {
    // Non-blocking, or a pipe of that name would wait for a writer for ever.
    fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const what = code === "ENOENT" ? "there is no such file" : `cannot be opened (${code})`;
    throw new Fail(`${path}: ${what}`, { fix: "Check the path.", exit: Exit.data, cause: error });
  }
  try {
    return read(path, fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function read(path: string, fd: number): Safetensors {
  const stat = fstatSync(fd);
  if (!stat.isFile()) throw bad(path, 0, "not a regular file", "Give a .safetensors file.");
  const head = new Uint8Array(Math.min(64, stat.size));
  readExactly(fd, head, 0, path);
  const kind = head[8] === 0x7b ? undefined : otherKind(head);
  if (kind) throw bad(path, 0, kind[0], kind[1]);
  if (stat.size < 10) throw bad(path, stat.size, "too short for a safetensors file");
  const length = new DataView(head.buffer).getBigUint64(0, true);
  if (length > BigInt(maxHeader)) {
    throw bad(path, 0, `a header of ${length} bytes; at most ${maxHeader} are allowed`);
  }
  if (length > BigInt(stat.size - 8)) {
    throw bad(path, 0, `a header of ${length} bytes in a file of ${stat.size}: it is cut short`);
  }
  const header = new Uint8Array(Number(length));
  readExactly(fd, header, 8, path);
  const { tensors, metadata } = parseHeader(header, stat.size, path);

  let open = true;
  function info(name: string): TensorInfo {
    if (!open) throw new Error(`${path} is closed`);
    const tensor = tensors.get(name);
    if (!tensor) {
      throw new Fail(`${path}: there is no tensor ${JSON.stringify(name)}`, { exit: Exit.data });
    }
    return tensor;
  }
  function range(name: string, from: number, to: number, size: number): void {
    if (
      !(Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from <= to && to <= size)
    ) {
      throw new RangeError(`${name}: ${from}..${to} is not within 0..${size}`);
    }
  }
  function readBytes(name: string, from = 0, to?: number, into?: Uint8Array): Uint8Array {
    const { offset, bytes } = info(name), size = (to ?? bytes) - from;
    range(name, from, to ?? bytes, bytes);
    const out = into && into.length >= size ? into.subarray(0, size) : new Uint8Array(size);
    readExactly(fd, out, offset + from, path);
    return out;
  }
  function readF32(name: string, rowFrom = 0, rowTo?: number): Float32Array {
    const { dtype, shape, offset } = info(name);
    if (!convertible(dtype)) {
      throw new Fail(`${path}: ${name} is ${dtype}, which cannot be read as numbers yet`, {
        fix: "Use a version of this model in F16, BF16 or F32.",
        exit: Exit.data,
      });
    }
    const rows = shape[0] ?? 1;
    range(name, rowFrom, rowTo ?? rows, rows);
    const width = shape.slice(1).reduce((a, b) => a * b, 1);
    const out = new Float32Array(((rowTo ?? rows) - rowFrom) * width);
    const size = dtypeBits[dtype] / 8;
    const start = offset + rowFrom * width * size;
    if (dtype === "F32") {
      readExactly(fd, new Uint8Array(out.buffer), start, path);
      return out;
    }
    const part = new Uint8Array(Math.min(piece / 8, out.length * size));
    for (let i = 0; i < out.length;) {
      const bytes = part.subarray(0, Math.min(part.length, (out.length - i) * size));
      readExactly(fd, bytes, start + i * size, path);
      const values = toF32(bytes, dtype);
      out.set(values, i);
      i += values.length;
    }
    return out;
  }
  function close(): void {
    if (open) closeSync(fd);
    open = false;
  }
  return { path, header, tensors, metadata, readBytes, readF32, close, [Symbol.dispose]: close };
}

/** A tensor to be written: its bytes (little-endian, row-major), at once or as they come. */
export interface TensorSource {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: Uint8Array | (() => Iterable<Uint8Array> | AsyncIterable<Uint8Array>);
}

const rankOf = new Map(Object.keys(dtypeBits).map((dtype, i) => [dtype, i]));

/**
 * A safetensors file as pieces for the durable writer, laid out as the reference implementation does:
 * wide element types first, then names in byte order, header padded with spaces to 8 bytes.
 * The same tensors give the same bytes.
 */
export async function* safetensorsChunks(
  sources: Iterable<TensorSource>,
  metadata: Readonly<Record<string, string>> = {},
): AsyncGenerator<Uint8Array> {
  const tensors = [...sources].sort((a, b) =>
    rankOf.get(b.dtype)! - rankOf.get(a.dtype)! ||
    Buffer.compare(Buffer.from(a.name), Buffer.from(b.name))
  );
  const entries: string[] = [];
  if (Object.keys(metadata).length > 0) entries.push(`"__metadata__":${JSON.stringify(metadata)}`);
  const sizes: number[] = [];
  let end = 0;
  for (const { name, dtype, shape, data } of tensors) {
    const size = Number(tensorBytes(dtype, shape) ?? NaN);
    if (!Number.isSafeInteger(size)) {
      throw new RangeError(`${name}: no such size [${shape}] ${dtype}`);
    }
    if (data instanceof Uint8Array && data.length !== size) {
      throw new RangeError(`${name}: ${data.length} bytes for [${shape}] ${dtype}`);
    }
    sizes.push(size);
    const entry = { dtype, shape, data_offsets: [end, end + size] };
    entries.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    end += size;
  }
  const json = new TextEncoder().encode(`{${entries.join(",")}}`);
  const head = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(json, 8);
  // What we write must pass what we read: duplicate names, long names and the like end here.
  parseHeader(head.subarray(8), head.length + end, "new file");
  yield head;
  for (const [i, { name, data }] of tensors.entries()) {
    if (data instanceof Uint8Array) {
      yield data;
      continue;
    }
    let size = 0;
    for await (const bytes of data()) {
      size += bytes.length;
      yield bytes;
    }
    if (size !== sizes[i]) {
      throw new RangeError(`${name}: ${size} bytes came, expected ${sizes[i]}`);
    }
  }
}

/** Writes a safetensors file durably. `metadata` is { format: "pt" } unless given, as others expect. */
export function writeSafetensors(
  path: string,
  tensors: Iterable<TensorSource>,
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): Promise<Written> {
  const chunks: Chunks = safetensorsChunks(tensors, metadata);
  return writeFile(path, chunks);
}
