import { Exit, Fail } from "../base/fail.ts";
import { type BlockType, blockTypeById } from "./gguf_blocks.ts";
import type { GgufValue, Metadata, Scalar, ScalarType } from "./gguf_types.ts";
import { integerAt, valueTypes } from "./gguf_types.ts";

/** One tensor of a GGUF file. `shape` is row-major (the last dimension is contiguous). */
export interface GgufTensor {
  readonly name: string;
  readonly type: BlockType;
  readonly shape: readonly number[];
  /** Position of the first byte in the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: Metadata;
  /** In file order. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  readonly alignment: number;
  /** Position of the tensor data in the file. */
  readonly dataStart: number;
}

/** What the reader accepts at most; everything is checked before memory is taken for it. */
export const ggufLimits = {
  /** Name of a tensor in bytes: ggml keeps 64 with the end mark. */
  nameBytes: 63,
  keyBytes: 65_535,
  arrayLength: 2 ** 30,
  stringBytes: 2 ** 30,
  alignment: 65_536,
  dimensions: 4,
  /** Values of one tensor: signed 64-bit in ggml, exact in a double here. */
  values: BigInt(Number.MAX_SAFE_INTEGER),
} as const;

export const defaultAlignment = 32;
const smallestKeyValue = 8 + 1 + 4 + 1;
const smallestTensorInfo = 8 + 1 + 4 + 4 + 8;

function broken(what: string, at: number): Fail {
  return new Fail(`${what} (byte ${at})`, {
    why: "the GGUF file is damaged, cut short, or made to mislead",
    fix: "download or convert the file again",
    exit: Exit.data,
  });
}

/** Thrown when the header goes on past the bytes at hand, though not past the file. */
export class HeaderContinues extends Error {
  override readonly name = "HeaderContinues";
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads little-endian fields in order and never past the end of the file. */
class Cursor {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fileSize: number;

  constructor(bytes: Uint8Array, fileSize: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#fileSize = fileSize;
  }

  get remaining(): number {
    return this.#fileSize - this.at;
  }

  /** Reserves the next `count` bytes and returns where they start. */
  take(count: number, what: string): number {
    if (count > this.remaining) throw broken(`${what} runs past the end of the file`, this.at);
    const start = this.at;
    if (start + count > this.#bytes.byteLength) throw new HeaderContinues();
    this.at += count;
    return start;
  }

  u32 = (what: string): number => this.#view.getUint32(this.take(4, what), true);
  u64 = (what: string): bigint => this.#view.getBigUint64(this.take(8, what), true);

  /** A 64-bit count of things that take at least `each` bytes of what is left of the file. */
  count(what: string, each: number, limit: number): number {
    const start = this.at;
    const count = this.u64(what);
    if (count > BigInt(limit) || count * BigInt(each) > BigInt(this.remaining)) {
      throw broken(`${what} is ${count}, more than the file can hold`, start);
    }
    return Number(count);
  }

  string(what: string, limit: number): string {
    const length = this.count(`length of ${what}`, 1, limit);
    const start = this.take(length, what);
    try {
      return strictUtf8.decode(this.#bytes.subarray(start, start + length));
    } catch {
      throw broken(`${what} is not UTF-8`, start);
    }
  }

  scalar(type: ScalarType, what: string): Scalar {
    const view = this.#view;
    switch (type) {
      case "u8":
        return view.getUint8(this.take(1, what));
      case "i8":
        return view.getInt8(this.take(1, what));
      case "u16":
        return view.getUint16(this.take(2, what), true);
      case "i16":
        return view.getInt16(this.take(2, what), true);
      case "u32":
        return view.getUint32(this.take(4, what), true);
      case "i32":
        return view.getInt32(this.take(4, what), true);
      case "f32":
        return view.getFloat32(this.take(4, what), true);
      case "u64":
        return view.getBigUint64(this.take(8, what), true);
      case "i64":
        return view.getBigInt64(this.take(8, what), true);
      case "f64":
        return view.getFloat64(this.take(8, what), true);
      case "string":
        return this.string(what, ggufLimits.stringBytes);
      case "bool": {
        const start = this.take(1, what);
        const byte = view.getUint8(start);
        if (byte > 1) throw broken(`${what} is a bool with value ${byte}`, start);
        return byte === 1;
      }
    }
  }
}

const scalarBytes: Record<ScalarType, number> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  string: 8,
  u64: 8,
  i64: 8,
  f64: 8,
};

function readValue(cursor: Cursor, key: string): GgufValue {
  const start = cursor.at;
  const number = cursor.u32(`type of ${key}`);
  const type = valueTypes[number];
  if (type === undefined) throw broken(`key ${key} has the unknown value type ${number}`, start);
  if (type !== "array") return { type, value: cursor.scalar(type, key) };

  const elementNumber = cursor.u32(`element type of ${key}`);
  const of = valueTypes[elementNumber];
  if (of === undefined || of === "array") {
    throw broken(`key ${key} is an array of the unknown or nested type ${elementNumber}`, start);
  }
  const length = cursor.count(`length of ${key}`, scalarBytes[of], ggufLimits.arrayLength);
  const value: Scalar[] = [];
  for (let i = 0; i < length; i++) value.push(cursor.scalar(of, key));
  return { type: "array", of, value };
}

function readMetadata(cursor: Cursor, count: number): Metadata {
  const metadata: Metadata = new Map();
  for (let i = 0; i < count; i++) {
    const start = cursor.at;
    const key = cursor.string("a key", ggufLimits.keyBytes);
    if (key === "") throw broken("a metadata key is empty", start);
    if (metadata.has(key)) throw broken(`key ${key} appears twice`, start);
    metadata.set(key, readValue(cursor, key));
  }
  return metadata;
}

function readAlignment(metadata: Metadata): number {
  const found = metadata.get("general.alignment");
  if (found === undefined) return defaultAlignment;
  const value = integerAt(metadata, "general.alignment", { min: 1, max: ggufLimits.alignment })!;
  if (found.type !== "u32" || (value & (value - 1)) !== 0) {
    throw broken(`general.alignment is ${value} (${found.type}), expected a u32 power of two`, 0);
  }
  return value;
}

interface TensorInfo {
  name: string;
  type: BlockType;
  shape: number[];
  bytes: bigint;
  offset: bigint;
  at: number;
}

function readTensorInfo(cursor: Cursor): TensorInfo {
  const at = cursor.at;
  const name = cursor.string("a tensor name", ggufLimits.nameBytes);
  const dimensions = cursor.u32(`dimensions of ${name}`);
  if (dimensions > ggufLimits.dimensions) {
    throw broken(`tensor ${name} has ${dimensions} dimensions, at most 4 are allowed`, at);
  }
  const sizes: bigint[] = [];
  let values = 1n;
  for (let i = 0; i < dimensions; i++) {
    const size = cursor.u64(`a dimension of ${name}`);
    if (size === 0n || size > ggufLimits.values / values) {
      throw broken(`tensor ${name} has the impossible size ${[...sizes, size].join(" x ")}`, at);
    }
    values *= size;
    sizes.push(size);
  }
  const typeNumber = cursor.u32(`type of ${name}`);
  const type = blockTypeById(typeNumber);
  if (type === undefined) throw broken(`tensor ${name} has the unknown type ${typeNumber}`, at);
  if ((sizes[0] ?? 1n) % BigInt(type.block) !== 0n) {
    throw broken(`rows of ${name} (${sizes[0]}) are not whole ${type.name} blocks`, at);
  }
  const offset = cursor.u64(`offset of ${name}`);
  const bytes = (values / BigInt(type.block)) * BigInt(type.bytes);
  return { name, type, shape: sizes.map(Number).reverse(), bytes, offset, at };
}

/**
 * Parses and checks the header of a GGUF file, version 2 or 3 (formats: ggml gguf.cpp).
 *
 * @param bytes the beginning of the file, or all of it
 * @param fileSize size of the whole file in bytes
 * @throws HeaderContinues when more of the beginning is needed
 * @throws Fail when the file breaks a rule: every size is computed in bigint and compared with
 *   the file before anything is read or allocated
 */
export function parseGgufHeader(bytes: Uint8Array, fileSize: number): GgufHeader {
  const cursor = new Cursor(bytes, fileSize);
  if (fileSize < 24) throw broken(`a file of ${fileSize} bytes is too short for GGUF`, 0);
  const magic = cursor.u32("magic");
  if (magic !== 0x4655_4747) throw broken("the file does not start with GGUF", 0);
  const version = cursor.u32("version");
  if (version !== 2 && version !== 3) {
    const bigEndian = (version & 0xffff) === 0 && version !== 0;
    throw broken(
      bigEndian ? "the file is big-endian GGUF" : `GGUF version ${version}, expected 2 or 3`,
      4,
    );
  }
  const tensorCount = cursor.count("number of tensors", smallestTensorInfo, ggufLimits.arrayLength);
  const keyCount = cursor.count("number of keys", smallestKeyValue, ggufLimits.arrayLength);
  const metadata = readMetadata(cursor, keyCount);
  const alignment = readAlignment(metadata);

  const infos = Array.from({ length: tensorCount }, () => readTensorInfo(cursor));
  const dataStart = Math.ceil(cursor.at / alignment) * alignment;
  const room = BigInt(fileSize) - BigInt(dataStart);
  const tensors = new Map<string, GgufTensor>();
  let expected = 0n;
  for (const { name, type, shape, bytes: size, offset, at } of infos) {
    if (tensors.has(name)) throw broken(`tensor ${name} appears twice`, at);
    if (offset !== expected) {
      throw broken(`tensor ${name} starts at ${offset}, expected ${expected}`, at);
    }
    if (offset + size > room) throw broken(`tensor ${name} runs past the end of the file`, at);
    tensors.set(name, {
      name,
      type,
      shape,
      offset: dataStart + Number(offset),
      bytes: Number(size),
    });
    expected = roundUp(offset + size, BigInt(alignment));
  }
  if (room > expected) {
    throw broken(`${room - expected} bytes follow the last tensor`, dataStart + Number(expected));
  }
  return { version, metadata, tensors, alignment, dataStart };
}

const roundUp = (value: bigint, step: bigint): bigint => ((value + step - 1n) / step) * step;
