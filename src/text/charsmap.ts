import { Exit, Fail } from "../base/fail.ts";

const bad = (why: string): Fail =>
  new Fail("the tokenizer's character map is damaged", {
    why,
    fix: "download the model's tokenizer files again",
    exit: Exit.data,
  });

const utf8 = new TextEncoder();
// deno-lint-ignore no-control-regex
const ascii = /[\x00-\x7f]/;

/**
 * SentencePiece's compiled character map (Kudo & Richardson 2018): a double-array trie (darts) over
 * UTF-8 bytes whose values are places in a list of replacement texts. Applied as Hugging Face
 * tokenizers do: to each short grapheme first, to its characters where the grapheme has no entry.
 *
 * @param base64 [u32 bytes of the trie, trie, replacement texts ended by 0]
 * @throws Fail when its parts do not fit
 */
export function readCharsMap(base64: string): (text: string) => string {
  const bytes = Buffer.from(base64, "base64");
  if (bytes.length === 0) return (text) => text;
  const size = bytes.length < 4 ? Infinity : bytes.readUInt32LE(0);
  if (size % 4 !== 0 || size === 0 || 4 + size > bytes.length) {
    throw bad(`its trie has ${size} bytes of ${bytes.length}`);
  }
  const trie = new Uint32Array(size / 4);
  for (let i = 0; i < trie.length; i++) trie[i] = bytes.readUInt32LE(4 + 4 * i);
  const texts = bytes.subarray(4 + size);

  const offsetOf = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);
  /** The replacement of the shortest entry that `chunk` begins with. */
  const find = (chunk: string): string | undefined => {
    let node = offsetOf(trie[0]!);
    for (const byte of utf8.encode(chunk)) {
      if (byte === 0) return undefined;
      node ^= byte;
      const unit = trie[node];
      if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return undefined;
      node ^= offsetOf(unit);
      if ((unit >>> 8) & 1) {
        const value = trie[node];
        if (value === undefined) return undefined;
        const from = value & 0x7fffffff;
        const end = texts.indexOf(0, from);
        if (from >= texts.length || end < 0) throw bad("an entry points outside of it");
        return texts.toString("utf8", from, end);
      }
    }
    return undefined;
  };

  const segmenter = new Intl.Segmenter("und", { granularity: "grapheme" });
  const known = new Map<string, string>();
  const ofGrapheme = (grapheme: string): string => {
    let out = known.get(grapheme);
    if (out === undefined) {
      out = (Buffer.byteLength(grapheme) < 6 ? find(grapheme) : undefined) ??
        Array.from(grapheme, (char) => find(char) ?? char).join("");
      if (known.size > 20_000) known.clear();
      known.set(grapheme, out);
    }
    return out;
  };
  return (text) => {
    let out = "";
    let at = 0;
    while (at < text.length) {
      // An ASCII character before another is a grapheme by itself, save for a line end.
      let end = at;
      while (end < text.length && ascii.test(text[end]!)) end++;
      if (end < text.length && end > at) end--;
      if (end > at) {
        for (const grapheme of text.slice(at, end).match(/\r\n|[^]/g)!) out += ofGrapheme(grapheme);
        at = end;
        continue;
      }
      end = at + 1;
      while (end < text.length && !(ascii.test(text[end]!) && ascii.test(text[end - 1]!))) end++;
      for (const { segment } of segmenter.segment(text.slice(at, end))) out += ofGrapheme(segment);
      at = end;
    }
    return out;
  };
}
