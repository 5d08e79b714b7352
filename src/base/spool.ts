/** A file for what is made before its place in another file is known. */
import { readSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { disk, diskFail, makeFolder, nameBeside, writeAll } from "./disk.ts";

/** What was put in, in pieces, as often as wanted until the spool is closed; a piece is good until the next. */
export type Spooled = () => Iterable<Uint8Array>;

export interface Spool {
  /** Adds the pieces as one stretch. @throws Fail with exit 12 when the disk is full or failing */
  put(pieces: Iterable<Uint8Array>): Promise<Spooled>;
  /** Removes the file. */
  close(): Promise<void>;
}

const piece = 8 * 2 ** 20;

/**
 * Opens a spool in the folder in which `path` is to be written; a crash leaves it as ".tmp-…".
 * @throws Fail with exit 12
 */
export async function openSpool(path: string): Promise<Spool> {
  const own = nameBeside(path, ".tmp-");
  let fd: number, size = 0;
  try {
    await makeFolder(dirname(resolve(path)));
    await disk.close(await disk.open(own, "wx"));
    fd = await disk.open(own, "r+");
  } catch (error) {
    throw diskFail(error, path);
  }
  return {
    async put(pieces) {
      const from = size;
      try {
        for (const bytes of pieces) {
          await writeAll(fd, bytes);
          size += bytes.length;
        }
      } catch (error) {
        throw diskFail(error, path);
      }
      const to = size;
      return function* () {
        const bytes = new Uint8Array(Math.min(piece, to - from));
        for (let at = from; at < to;) {
          const n = readSync(fd, bytes, 0, Math.min(bytes.length, to - at), at);
          if (n === 0) throw new Error(`${own} was cut short while it was in use`);
          yield bytes.subarray(0, n);
          at += n;
        }
      };
    },
    async close() {
      await disk.close(fd).catch(() => {});
      await disk.unlink(own).catch(() => {});
    },
  };
}
