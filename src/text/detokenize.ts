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

/** More ids than the bytes of one character: then U+FFFD is what the model wrote. */
const longestCharacter = 4;

/**
 * For any other decoder: the text after an id is what it adds to the text of the ids shortly before
 * it, since the same id reads differently at the beginning (a leading space, "##ing").
 */
export function windowStream(decode: (ids: readonly number[]) => string): TextStream {
  let context: number[] = [];
  let pending: number[] = [];
  const take = (): string => {
    const text = decode([...context, ...pending]).slice(decode(context).length);
    context = pending.length > 0 ? pending.slice(-longestCharacter) : context;
    pending = [];
    return text;
  };
  return {
    push(id) {
      pending.push(id);
      const whole = decode([...context, ...pending]);
      const incomplete = whole.endsWith("\ufffd") && pending.length < longestCharacter;
      return incomplete ? "" : take();
    },
    flush() {
      const text = take();
      context = [];
      return text;
    },
  };
}
