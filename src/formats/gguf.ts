import { type FileHandle, open } from "node:fs/promises";
import { Exit, Fail } from "../base/fail.ts";
import { blockCodec } from "./gguf_blocks.ts";
import {
  type GgufHeader,
  type GgufTensor,
  HeaderContinues,
  parseGgufHeader,
} from "./gguf_header.ts";

/** An open GGUF file: checked header, tensors read on demand. */
export interface GgufFile extends GgufHeader {
  readonly path: string;
  readonly size: number;
  /** Stored bytes of rows [from, to) of a tensor; a row is its last dimension. All by default. */
  readBytes(name: string, from?: number, to?: number): Promise<Uint8Array>;
  /** The same rows as float32. A Fail for types whet cannot convert. */
  readF32(name: string, from?: number, to?: number): Promise<Float32Array>;
  close(): Promise<void>;
}

const firstBytes = 1 << 20;
const largestHeader = 512 * 2 ** 20;
/** One read call is kept well below the 2 GiB at which they stop short. */
const readChunk = 64 * 2 ** 20;

async function readRange(file: FileHandle, path: string, from: number, length: number) {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const wanted = Math.min(readChunk, length - done);
    const { bytesRead } = await file.read(bytes, done, wanted, from + done);
    if (bytesRead === 0) {
      throw new Fail(`${path} ended while it was read`, {
        why: "another program is writing it",
        fix: "try again when nothing writes to the file",
        exit: Exit.disk,
      });
    }
    done += bytesRead;
  }
  return bytes;
}

async function readHeader(file: FileHandle, path: string, size: number): Promise<GgufHeader> {
  for (let length = Math.min(size, firstBytes);; length = Math.min(size, length * 4)) {
    try {
      return parseGgufHeader(await readRange(file, path, 0, length), size);
    } catch (error) {
      if (!(error instanceof HeaderContinues)) throw error;
      if (length >= largestHeader) {
        throw new Fail(`the header of ${path} is longer than ${largestHeader} bytes`, {
          exit: Exit.data,
        });
      }
    }
  }
}

/**
 * Opens a GGUF file and checks its whole header (see parseGgufHeader).
 *
 * @throws Fail when it cannot be opened, is not a regular file, or breaks a rule of the format
 */
export async function openGguf(path: string): Promise<GgufFile> {
  const file = await open(path, "r").catch((cause: unknown) => {
    throw new Fail(`${path} cannot be opened`, { cause, exit: Exit.disk });
  });
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new Fail(`${path} is not a regular file`, { exit: Exit.data });
    const header = await readHeader(file, path, stat.size);
    const readBytes = (name: string, from?: number, to?: number) => {
      const { offset, length } = rowRange(header, path, name, from, to);
      return readRange(file, path, offset, length);
    };
    return {
      ...header,
      path,
      size: stat.size,
      readBytes,
      async readF32(name, from, to) {
        const { tensor, length } = rowRange(header, path, name, from, to);
        const codec = blockCodec(tensor.type.name);
        const out = new Float32Array((length / tensor.type.bytes) * tensor.type.block);
        codec.dequantize(await readBytes(name, from, to), out);
        return out;
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    if (error instanceof Fail) {
      const { why, fix, exit, code, cause } = error;
      throw new Fail(`${path}: ${error.message}`, { why, fix, exit, code, cause });
    }
    throw error;
  }
}

function rowRange(header: GgufHeader, path: string, name: string, from = 0, to?: number) {
  const tensor: GgufTensor | undefined = header.tensors.get(name);
  if (tensor === undefined) throw new Fail(`${path} has no tensor ${name}`, { exit: Exit.data });
  const rows = tensor.shape.slice(0, -1).reduce((product, size) => product * size, 1);
  const end = to ?? rows;
  if (from < 0 || end > rows || from > end) {
    throw new Fail(`rows ${from} to ${end} of ${name} were asked for, it has ${rows}`);
  }
  const rowBytes = tensor.bytes / rows;
  return { tensor, offset: tensor.offset + from * rowBytes, length: (end - from) * rowBytes };
}
