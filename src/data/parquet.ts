import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { Exit, Fail } from "../base/fail.ts";
import type { Value } from "./json_values.ts";

/** Rows of one row group held at once at most. */
const STRETCH = 10_000;

/**
 * The rows of a Parquet file as objects, a stretch at a time. Lists and structures are lists and
 * objects; whole numbers of 64 bits become numbers where those are exact, else texts; times are ISO
 * 8601. A row's "line" is its number, from 1.
 * @throws Fail (exit 3) where the file is missing or broken
 */
export async function* parquetValues(path: string): AsyncGenerator<Value> {
  const broken = (cause: unknown) =>
    new Fail(`cannot read the Parquet file ${path}`, {
      why: cause instanceof Error ? cause.message : String(cause),
      fix: "check the path, or write the file again",
      exit: Exit.data,
      cause,
    });
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    throw broken(error);
  }
  try {
    const byteLength = fstatSync(fd).size;
    const file = {
      byteLength,
      slice(from: number, to = byteLength): ArrayBuffer {
        const bytes = new Uint8Array(Math.max(0, Math.min(to, byteLength) - from));
        for (let done = 0; done < bytes.length;) {
          const n = readSync(fd, bytes, done, bytes.length - done, from + done);
          if (n === 0) throw new Error("the file became shorter while it was read");
          done += n;
        }
        return bytes.buffer;
      },
    };
    let line = 1;
    const metadata = await parquetMetadataAsync(file).catch((error) => {
      throw broken(error);
    });
    const rows = Number(metadata.num_rows);
    for (let rowStart = 0; rowStart < rows; rowStart += STRETCH) {
      const rowEnd = Math.min(rows, rowStart + STRETCH);
      const objects = await parquetReadObjects({ file, metadata, compressors, rowStart, rowEnd })
        .catch((error) => {
          throw broken(error);
        });
      for (const object of objects) {
        const value = plain(object);
        yield { line: line++, text: JSON.stringify(value).slice(0, 400), value };
      }
    }
  } finally {
    closeSync(fd);
  }
}

/** As JSON has it. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") {
    const n = Number(value);
    return Number.isSafeInteger(n) ? n : String(value);
  }
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as Iterable<unknown>, plain);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}
