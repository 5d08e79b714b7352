/**
 * The byte-level alphabet of GPT-2's BPE: printable Latin-1 bytes stand for themselves, the other 68
 * for U+0100 and up, so that any bytes can be written as text without spaces (Radford et al. 2019).
 */
const printable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

const byteOfChar = new Map<string, number>();
const charOfByte: string[] = [];
/** The character of each byte. */
export const byteAlphabet: readonly string[] = charOfByte;
for (let byte = 0, next = 0x100; byte < 256; byte++) {
  const char = String.fromCharCode(printable(byte) ? byte : next++);
  charOfByte.push(char);
  byteOfChar.set(char, byte);
}

const utf8 = new TextEncoder();

/** The byte-level form of a text: " é" -> "ĠÃ©". */
export function toByteLevel(text: string): string {
  return Array.from(utf8.encode(text), (byte) => charOfByte[byte]).join("");
}

/** The bytes a byte-level token stands for; a token outside the alphabet is its own UTF-8. */
export function fromByteLevel(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = byteOfChar.get(token[i]!);
    if (byte === undefined) return utf8.encode(token);
    bytes[i] = byte;
  }
  return bytes;
}
