/** The only way to write a file that matters. Folders of files: folder.ts. */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { dirname, resolve } from "node:path";
import { disk, diskFail, makeFolder, nameBeside, rename, syncFolder, writeAll } from "./disk.ts";

export type Chunk = Uint8Array | string;
/** What a file is made of: one piece, or pieces as they come. */
export type Chunks = Chunk | Iterable<Chunk> | AsyncIterable<Chunk>;
export interface Written {
  readonly size: number;
  readonly sha256: string;
}

/** Creates a new file, writes the pieces, and returns once they are on the disk (fsync). */
export async function writeNew(path: string, chunks: Chunks): Promise<Written> {
  const hash = createHash("sha256");
  let size = 0;
  const fd = await disk.open(path, "wx");
  try {
    const pieces = typeof chunks === "string" || chunks instanceof Uint8Array ? [chunks] : chunks;
    for await (const chunk of pieces) {
      const bytes = typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
      hash.update(bytes);
      size += bytes.length;
      await writeAll(fd, bytes);
    }
    await disk.fsync(fd);
  } catch (error) {
    await disk.close(fd).catch(() => {});
    throw error;
  }
  await disk.close(fd);
  return { size, sha256: hash.digest("hex") };
}

/**
 * Writes a file completely or not at all: into a temporary file in the same folder, synced, then
 * renamed over `path`. A crash or power cut at any point leaves the old content or the new. Missing
 * parent folders are made. A failed fsync is never tried again: its data may already be dropped.
 * @returns size in bytes and SHA-256 of what was written
 * @throws Fail with exit 12 when the disk is full, read-only or failing; errors of `chunks` as they are
 */
export async function writeFile(path: string, chunks: Chunks): Promise<Written> {
  const temporary = nameBeside(path, ".tmp-");
  try {
    await makeFolder(dirname(resolve(path)));
    const written = await writeNew(temporary, chunks);
    await rename(temporary, path);
    await syncFolder(dirname(resolve(path)));
    return written;
  } catch (error) {
    await disk.unlink(temporary).catch(() => {});
    throw diskFail(error, path);
  }
}

/** A log of lines. A full disk loses lines, which are counted, but never stops the program. */
export interface LineLog {
  /** Appends one line (no newline inside). It is in the file, whole, or counted as lost. */
  append(line: string): void;
  readonly lost: number;
  close(): Promise<void>;
}

/** Offset just after the last newline. */
function endOfLastLine(fd: number, size: number): number {
  const block = new Uint8Array(65536);
  for (let end = size; end > 0;) {
    const from = Math.max(0, end - block.length);
    const n = fs.readSync(fd, block, 0, end - from, from);
    const at = block.subarray(0, n).lastIndexOf(10);
    if (at >= 0) return from + at + 1;
    end = from;
  }
  return 0;
}

/**
 * Opens a log for appending, making it if needed. A last line without its newline, left by a crash,
 * is cut off. A line that cannot be written whole is taken back.
 * @throws Fail with exit 12 when the file cannot be opened for writing
 */
export async function openLog(path: string): Promise<LineLog> {
  let fd: number;
  let size: number;
  try {
    await makeFolder(dirname(resolve(path)));
    fd = fs.openSync(path, "a+");
    size = endOfLastLine(fd, fs.fstatSync(fd).size);
    disk.truncate(fd, size);
  } catch (error) {
    throw diskFail(error, path);
  }
  let lost = 0;
  return {
    append(line) {
      if (line.includes("\n")) throw new TypeError("a log line must not contain a newline");
      const bytes = new TextEncoder().encode(line + "\n");
      let done = 0;
      try {
        while (done < bytes.length) {
          const n = disk.append(fd, bytes.subarray(done));
          if (n <= 0) throw new Error("write made no progress");
          done += n;
        }
        size += done;
      } catch {
        lost++;
        try {
          if (done > 0) disk.truncate(fd, size);
        } catch {
          // The torn line stays until the log is next opened.
        }
      }
    },
    get lost() {
      return lost;
    },
    async close() {
      try {
        await disk.fsync(fd);
      } finally {
        await disk.close(fd);
      }
    },
  };
}
