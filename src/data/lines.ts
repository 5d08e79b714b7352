/** One line of a file, as bytes without its line end. */
export interface RawLine {
  /** Counted from 1; blank lines count. */
  readonly number: number;
  /** The line, or its beginning where it was longer than the limit. */
  readonly bytes: Uint8Array;
  /** Bytes in the whole line. */
  readonly length: number;
  /** False for a last line that the file ends without a newline. */
  readonly ended: boolean;
}

/**
 * Splits a byte stream at newlines (LF or CRLF), holding no more than one line and `limit` bytes of it
 * in memory. Bytes are not decoded here, so that a line of broken UTF-8 does not move the others.
 */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array>,
  limit: number,
): AsyncGenerator<RawLine> {
  let number = 1;
  let parts: Uint8Array[] = [];
  let kept = 0;
  let length = 0;
  const add = (bytes: Uint8Array) => {
    length += bytes.length;
    const room = limit - kept;
    if (room <= 0 || bytes.length === 0) return;
    const part = bytes.subarray(0, room);
    parts.push(part);
    kept += part.length;
  };
  const line = (ended: boolean): RawLine => {
    let bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    if (bytes.at(-1) === 0x0d && kept === length) {
      bytes = bytes.subarray(0, -1);
      length--;
    }
    const made = { number, bytes, length, ended };
    number++;
    parts = [];
    kept = length = 0;
    return made;
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (;;) {
      const newline = chunk.indexOf(0x0a, from);
      if (newline < 0) break;
      add(chunk.subarray(from, newline));
      yield line(true);
      from = newline + 1;
    }
    add(chunk.subarray(from));
  }
  if (length > 0) yield line(false);
}
