import { createHash } from "node:crypto";
import { closeSync, openSync, read } from "node:fs";
import { promisify } from "node:util";

const readInto = promisify(read) as (
  fd: number,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: null,
) => Promise<{ bytesRead: number }>;

/** SHA-256 of text (UTF-8) or bytes, as 64 lower-case hexadecimal digits. */
export function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** SHA-256 and size of a file, read in pieces so that size does not matter and nothing blocks. */
export async function sha256File(path: string): Promise<{ size: number; sha256: string }> {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(4 * 2 ** 20);
  let size = 0;
  const fd = openSync(path, "r");
  try {
    for (;;) {
      const { bytesRead } = await readInto(fd, buffer, 0, buffer.length, null);
      if (bytesRead === 0) return { size, sha256: hash.digest("hex") };
      hash.update(buffer.subarray(0, bytesRead));
      size += bytesRead;
    }
  } finally {
    closeSync(fd);
  }
}
