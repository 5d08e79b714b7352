import * as fs from "node:fs";
import { dirname, resolve } from "node:path";
import { disk, diskFail, makeFolder, syncFolder } from "./disk.ts";

/** A file of lines, each of which is on the disk before anything is done that counts on it. */
export interface Journal {
  /** The whole lines that were there when it was opened. */
  readonly before: readonly string[];
  /**
   * Appends a line (without a newline in it) and returns once it is on the disk.
   * @throws Fail with exit 12 where that fails; a part that was written is taken back
   */
  append(line: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a journal, making it if needed. A last line without its newline, which a crash may leave, was
 * never acknowledged and is cut off.
 * @throws Fail with exit 12 where it cannot be opened for writing
 */
export async function openJournal(path: string): Promise<Journal> {
  let fd: number;
  let size: number;
  let before: string[];
  try {
    await makeFolder(dirname(resolve(path)));
    fd = fs.openSync(path, "a+");
    const bytes = fs.readFileSync(path);
    size = bytes.lastIndexOf(10) + 1;
    if (size < bytes.length) disk.truncate(fd, size);
    before = new TextDecoder().decode(bytes.subarray(0, size)).split("\n").slice(0, -1);
    await syncFolder(dirname(resolve(path)));
  } catch (error) {
    throw diskFail(error, path);
  }
  return {
    before,
    async append(line) {
      if (line.includes("\n")) throw new TypeError("a journal line must not contain a newline");
      const bytes = new TextEncoder().encode(line + "\n");
      let done = 0;
      try {
        while (done < bytes.length) {
          const n = disk.append(fd, bytes.subarray(done));
          if (n <= 0) throw Object.assign(new Error("write made no progress"), { code: "ENOSPC" });
          done += n;
        }
        size += done;
        await disk.fsync(fd);
      } catch (error) {
        if (done > 0 && done < bytes.length) disk.truncate(fd, size);
        throw diskFail(error, path);
      }
    },
    close: () => disk.close(fd),
  };
}
