import { writeFile, type Written } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { type BlockType, bytesOf } from "./gguf_blocks.ts";
import { defaultAlignment, ggufLimits } from "./gguf_header.ts";
import {
  type GgufValue,
  integerAt,
  type Metadata,
  type Scalar,
  type ScalarType,
  valueTypes,
} from "./gguf_types.ts";

/** A tensor to be written: its bytes are asked for when their turn comes, in pieces of any size. */
export interface GgufSource {
  readonly name: string;
  readonly type: BlockType;
  /** Row-major: the last dimension is contiguous. */
  readonly shape: readonly number[];
  readonly chunks: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

const utf8 = new TextEncoder();

/** A growing little-endian byte buffer. */
class Bytes {
  #bytes = new Uint8Array(1 << 16);
  #view = new DataView(this.#bytes.buffer);
  length = 0;

  #room(count: number): number {
    const start = this.length;
    this.length += count;
    if (this.length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.length, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, start));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return start;
  }

  u32(value: number): void {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
  }
  u64(value: number): void {
    const at = this.#room(8);
    this.#view.setBigUint64(at, BigInt(value), true);
  }
  string(value: string): void {
    const bytes = utf8.encode(value);
    this.u64(bytes.length);
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }
  pad(multiple: number): void {
    this.#room((multiple - (this.length % multiple)) % multiple);
  }
  done(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  scalar(type: ScalarType, value: Scalar): void {
    if (type === "string") return this.string(String(value));
    const size = type === "u8" || type === "i8" || type === "bool"
      ? 1
      : type === "u16" || type === "i16"
      ? 2
      : type === "u64" || type === "i64" || type === "f64"
      ? 8
      : 4;
    const at = this.#room(size);
    const view = this.#view;
    if (type === "bool") view.setUint8(at, value === true ? 1 : 0);
    else if (type === "u64") view.setBigUint64(at, BigInt(value), true);
    else if (type === "i64") view.setBigInt64(at, BigInt(value), true);
    else if (type === "f32") view.setFloat32(at, Number(value), true);
    else if (type === "f64") view.setFloat64(at, Number(value), true);
    else if (type === "u8") view.setUint8(at, Number(value));
    else if (type === "i8") view.setInt8(at, Number(value));
    else if (type === "u16") view.setUint16(at, Number(value), true);
    else if (type === "i16") view.setInt16(at, Number(value), true);
    else if (type === "u32") view.setUint32(at, Number(value), true);
    else view.setInt32(at, Number(value), true);
  }

  value(value: GgufValue): void {
    this.u32(valueTypes.indexOf(value.type));
    if (value.type !== "array") return this.scalar(value.type, value.value);
    this.u32(valueTypes.indexOf(value.of));
    this.u64(value.value.length);
    for (const element of value.value) this.scalar(value.of, element);
  }
}

const range: Partial<Record<ScalarType, readonly [number, number]>> = {
  u8: [0, 0xff],
  i8: [-0x80, 0x7f],
  u16: [0, 0xffff],
  i16: [-0x8000, 0x7fff],
  u32: [0, 0xffff_ffff],
  i32: [-0x8000_0000, 0x7fff_ffff],
};

function checkScalar(key: string, type: ScalarType, value: Scalar): void {
  const limits = range[type];
  if (limits === undefined) return;
  if (!Number.isInteger(value) || Number(value) < limits[0] || Number(value) > limits[1]) {
    throw new Fail(`GGUF key ${key} is ${String(value)}, expected a ${type}`, { exit: Exit.data });
  }
}

function checkMetadata(metadata: Metadata): void {
  for (const [key, value] of metadata) {
    if (key === "") throw new Fail("a GGUF metadata key is empty");
    if (value.type !== "array") checkScalar(key, value.type, value.value);
    else for (const element of value.value) checkScalar(key, value.of, element);
  }
}

function checkName(name: string, seen: Set<string>): void {
  if (utf8.encode(name).length > ggufLimits.nameBytes || name === "") {
    throw new Fail(`GGUF tensor name ${name} must have 1 to ${ggufLimits.nameBytes} bytes`, {
      exit: Exit.data,
    });
  }
  if (seen.has(name)) throw new Fail(`GGUF tensor ${name} would be written twice`);
  seen.add(name);
}

/**
 * Writes a GGUF version 3 file: metadata and tensors in the given order, each tensor padded with
 * zeros to the alignment (`general.alignment`, 32 without it). Tensor bytes stream through; the
 * file appears under its name only when it is complete.
 *
 * @returns size in bytes and SHA-256 of the file
 * @throws Fail when a tensor yields another number of bytes than its shape says, a metadata
 *   number does not fit its type, or a name is too long or used twice
 */
export async function writeGguf(
  path: string,
  file: { readonly metadata: Metadata; readonly tensors: readonly GgufSource[] },
): Promise<Written> {
  checkMetadata(file.metadata);
  const alignment = integerAt(file.metadata, "general.alignment", {
    min: 1,
    max: ggufLimits.alignment,
  }) ?? defaultAlignment;
  const names = new Set<string>();
  const padded = (bytes: number) => Math.ceil(bytes / alignment) * alignment;

  const header = new Bytes();
  header.u32(0x4655_4747);
  header.u32(3);
  header.u64(file.tensors.length);
  header.u64(file.metadata.size);
  for (const [key, value] of file.metadata) {
    header.string(key);
    header.value(value);
  }
  let offset = 0;
  const sizes: number[] = [];
  for (const { name, type, shape } of file.tensors) {
    checkName(name, names);
    const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
    const bytes = rows * bytesOf(type, shape.at(-1) ?? 1);
    header.string(name);
    header.u32(shape.length);
    for (const size of shape.toReversed()) header.u64(size);
    header.u32(type.id);
    header.u64(offset);
    sizes.push(bytes);
    offset += padded(bytes);
  }
  header.pad(alignment);

  async function* content(): AsyncGenerator<Uint8Array> {
    yield header.done();
    for (const [index, tensor] of file.tensors.entries()) {
      const expected = sizes[index]!;
      let written = 0;
      for await (const chunk of tensor.chunks()) {
        written += chunk.length;
        yield chunk;
      }
      if (written !== expected) {
        throw new Fail(`tensor ${tensor.name} gave ${written} bytes, its shape needs ${expected}`);
      }
      const rest = padded(written) - written;
      if (rest > 0) yield new Uint8Array(rest);
    }
  }
  return await writeFile(path, content());
}
