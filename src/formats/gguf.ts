/** GGUF files: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { Exit, Fail } from "../base/fail.ts";
import { blockCodec } from "./gguf_blocks.ts";
import { type GgufHeader, HeaderContinues, parseGgufHeader } from "./gguf_header.ts";
import { joinParts } from "./gguf_split.ts";
import { readExactly } from "./safetensors.ts";

/** An open GGUF file: checked header, tensors read on demand. */
export interface GgufFile extends GgufHeader, Disposable {
  readonly path: string;
  readonly size: number;
  /** Stored bytes of rows [from, to) of a tensor; a row is its last dimension. All by default. */
  readBytes(name: string, from?: number, to?: number): Uint8Array;
  /** The same rows as float32. A Fail for types whet cannot convert. */
  readF32(name: string, from?: number, to?: number): Float32Array;
  close(): void;
}

const firstBytes = 1 << 20;
const largestHeader = 512 * 2 ** 20;

function readHeader(fd: number, path: string, size: number): GgufHeader {
  for (let length = Math.min(size, firstBytes);; length = Math.min(size, length * 4)) {
    const bytes = new Uint8Array(length);
    readExactly(fd, bytes, 0, path);
    if (
      Buffer.from(bytes.subarray(0, 24)).toString("latin1").startsWith("version https://git-lfs")
    ) {
      throw new Fail("this is a Git LFS pointer, not the model", {
        fix: "fetch the real file: git lfs pull",
        exit: Exit.data,
      });
    }
    try {
      return parseGgufHeader(bytes, size);
    } catch (error) {
      if (!(error instanceof HeaderContinues)) throw error;
      if (length >= largestHeader) {
        throw new Fail(`the header is longer than ${largestHeader} bytes`, { exit: Exit.data });
      }
    }
  }
}

/**
 * Opens a GGUF file and checks its whole header (see parseGgufHeader); no tensor can be had from a
 * file that fails a check. The first of several parts is all of them.
 *
 * @throws Fail when it cannot be opened, is not a regular file, breaks a rule of the format, or another
 *   part is missing
 */
export const openGguf = (path: string): GgufFile => joinParts(openPart(path), openPart);

function openPart(path: string): GgufFile {
  let fd: number;
  try {
    // Non-blocking, or a pipe of that name would wait for a writer for ever.
    fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const what = code === "ENOENT" ? "there is no such file" : `cannot be opened (${code})`;
    throw new Fail(`${path}: ${what}`, { fix: "check the path", exit: Exit.data, cause });
  }
  try {
    return read(path, fd);
  } catch (error) {
    closeSync(fd);
    if (!(error instanceof Fail)) throw error;
    const { why, fix, exit, code, cause } = error;
    throw new Fail(`${path}: ${error.message}`, { why, fix, exit, code, cause });
  }
}

function read(path: string, fd: number): GgufFile {
  const stat = fstatSync(fd);
  if (!stat.isFile()) throw new Fail("not a regular file", { exit: Exit.data });
  const header = readHeader(fd, path, stat.size);

  let open = true;
  function locate(name: string, from = 0, to?: number) {
    if (!open) throw new Error(`${path} is closed`);
    const tensor = header.tensors.get(name);
    if (tensor === undefined) throw new Fail(`${path} has no tensor ${name}`, { exit: Exit.data });
    const rows = tensor.shape.slice(0, -1).reduce((product, size) => product * size, 1);
    const end = to ?? rows;
    if (!(from >= 0 && from <= end && end <= rows)) {
      throw new RangeError(`${name}: rows ${from}..${end} are not within 0..${rows}`);
    }
    const rowBytes = tensor.bytes / rows;
    return { tensor, offset: tensor.offset + from * rowBytes, length: (end - from) * rowBytes };
  }
  function readBytes(name: string, from?: number, to?: number): Uint8Array {
    const { offset, length } = locate(name, from, to);
    const bytes = new Uint8Array(length);
    readExactly(fd, bytes, offset, path);
    return bytes;
  }
  function readF32(name: string, from?: number, to?: number): Float32Array {
    const { type } = locate(name, from, to).tensor;
    const codec = blockCodec(type.name);
    const bytes = readBytes(name, from, to);
    const out = new Float32Array((bytes.length / type.bytes) * type.block);
    codec.dequantize(bytes, out);
    return out;
  }
  function close(): void {
    if (open) closeSync(fd);
    open = false;
  }
  return { ...header, path, size: stat.size, readBytes, readF32, close, [Symbol.dispose]: close };
}
