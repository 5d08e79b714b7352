/** Turns ids into text as they come; never cuts a character in two. */
export interface TextStream {
  /** Text that is certain after this id; empty while a character is incomplete. */
  push(id: number): string;
  /** What is left; incomplete characters become U+FFFD. The stream can be used again. */
  flush(): string;
}

/** For byte-level vocabularies: `bytesOf` gives the bytes of an id, undefined for none. */
export function byteStream(bytesOf: (id: number) => Uint8Array | undefined): TextStream {
  let decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    push(id) {
      const bytes = bytesOf(id);
      return bytes === undefined ? "" : decoder.decode(bytes, { stream: true });
    },
    flush() {
      const rest = decoder.decode();
      decoder = new TextDecoder("utf-8", { ignoreBOM: true });
      return rest;
    },
  };
}

/** How many ids before a new one are looked at: enough that none is the first of a text. */
const contextIds = 4;

/**
 * For any other decoder: the text after an id is what it adds to the text of the ids shortly before
 * it, since the same id reads differently at the beginning (a leading space, "##ing"). Characters
 * that come byte by byte are given out when they are whole; a whole text that breaks off in the
 * middle of such a run reads U+FFFD for all of the run, a stream only for what is broken.
 *
 * @param byteOf the byte that an id spells, undefined for other ids
 */
export function windowStream(
  decode: (ids: readonly number[]) => string,
  byteOf: (id: number) => number | undefined,
): TextStream {
  let context: number[] = [];
  let bytes = new TextDecoder("utf-8", { ignoreBOM: true });
  let open = false;
  /** What is left of the bytes of a character. */
  const rest = (): string => {
    if (!open) return "";
    open = false;
    const text = bytes.decode();
    bytes = new TextDecoder("utf-8", { ignoreBOM: true });
    return text;
  };
  return {
    push(id) {
      const before = context;
      context = [...before.slice(1 - contextIds), id];
      const byte = byteOf(id);
      if (byte !== undefined && (byte >= 0x80 || before.length > 0)) {
        open = true;
        return bytes.decode(Uint8Array.of(byte), { stream: true });
      }
      return rest() + decode([...before, id]).slice(decode(before).length);
    },
    flush() {
      context = [];
      return rest();
    },
  };
}
