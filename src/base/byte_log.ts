import * as fs from "node:fs";
import { dirname, resolve } from "node:path";
import { disk, diskFail, makeFolder } from "./disk.ts";

/** A file of binary records that only grows. */
export interface ByteLog {
  /**
   * Appends bytes, all or none of them: a part that a full disk let through is taken back.
   * @throws Error of the system where they could not be written
   */
  append(bytes: Uint8Array): void;
  /** Bytes in the file. */
  readonly size: number;
  close(): Promise<void>;
}

/** Creates a file for appending. @throws Fail with exit 12 where it exists or cannot be made */
export async function openBytes(path: string): Promise<ByteLog> {
  let fd: number;
  try {
    await makeFolder(dirname(resolve(path)));
    fd = fs.openSync(path, "ax");
  } catch (error) {
    throw diskFail(error, path);
  }
  let size = 0;
  return {
    append(bytes) {
      let done = 0;
      try {
        while (done < bytes.length) {
          const n = disk.append(fd, bytes.subarray(done));
          if (n <= 0) throw Object.assign(new Error("write made no progress"), { code: "ENOSPC" });
          done += n;
        }
        size += done;
      } catch (error) {
        if (done > 0) disk.truncate(fd, size);
        throw error;
      }
    },
    get size() {
      return size;
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
