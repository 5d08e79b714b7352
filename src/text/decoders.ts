import { Exit, Fail } from "../base/fail.ts";
import { tokenByte } from "./bpe.ts";
import { fromByteLevel } from "./byte_level.ts";
import { patternOf } from "./pattern.ts";
import { isObject, type Json } from "./tokenizer_json.ts";

/** Token texts to the texts they stand for, in order; joined they are the decoded text. */
export type Decoder = (tokens: readonly string[]) => readonly string[];

const text = (value: unknown, fallback: string): string =>
  typeof value === "string" ? value : fallback;

/** English spacing as BERT's decoder mends it, in this order. */
const mends: readonly (readonly [string, string])[] = [
  [" .", "."],
  [" ?", "?"],
  [" !", "!"],
  [" ,", ","],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" do not", " don't"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];
const mend = (text: string): string =>
  mends.reduce((done, [wrong, right]) => done.replaceAll(wrong, right), text);

/** Runs of byte tokens to their text; a run that is not UTF-8 is one U+FFFD for every byte. */
function joinBytes(tokens: readonly string[]): string[] {
  const out: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length === 0) return;
    try {
      out.push(
        new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes)),
      );
    } catch {
      for (const _ of bytes) out.push("\ufffd");
    }
    bytes = [];
  };
  for (const token of tokens) {
    const byte = tokenByte(token);
    if (byte !== undefined) bytes.push(byte);
    else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
}

/** `token` without up to `start` of `content` before it and up to `stop` after it. */
function stripped(token: string, content: string, start: number, stop: number): string {
  const chars = Array.from(token);
  let from = 0;
  while (from < start && chars[from] === content) from++;
  let end = chars.length;
  while (chars.length - end < stop && end > from && chars[end - 1] === content) end--;
  return chars.slice(from, end).join("");
}

const kinds: Readonly<Record<string, (step: Json) => Decoder>> = {
  ByteLevel: () => (tokens) => {
    const parts = tokens.map(fromByteLevel);
    return [new TextDecoder("utf-8", { ignoreBOM: true }).decode(Buffer.concat(parts))];
  },
  WordPiece: (step) => {
    const prefix = text(step.prefix, "##");
    return (tokens) =>
      tokens.map((token, i) => {
        const joined = i === 0
          ? token
          : token.startsWith(prefix)
          ? token.slice(prefix.length)
          : ` ${token}`;
        return step.cleanup === false ? joined : mend(joined);
      });
  },
  Metaspace: (step) => {
    const mark = text(step.replacement, "\u2581");
    const never =
      text(step.prepend_scheme, step.add_prefix_space === false ? "never" : "always") ===
        "never";
    return (tokens) =>
      tokens.map((token, i) => token.replaceAll(mark, i === 0 && !never ? "" : " "));
  },
  BPEDecoder: (step) => {
    const suffix = text(step.suffix, "</w>");
    return (tokens) =>
      tokens.map((token, i) =>
        suffix === "" ? token : token.replaceAll(suffix, i === tokens.length - 1 ? "" : " ")
      );
  },
  Replace: (step) => {
    const pattern = patternOf(step.pattern);
    const content = text(step.content, "");
    return (tokens) => tokens.map((token) => token.replace(pattern, () => content));
  },
  ByteFallback: () => joinBytes,
  Fuse: () => (tokens) => [tokens.join("")],
  Strip: (step) => {
    const count = (value: unknown) => typeof value === "number" ? value : 0;
    const content = text(step.content, " ");
    return (tokens) =>
      tokens.map((token) => stripped(token, content, count(step.start), count(step.stop)));
  },
  Sequence: (step) => {
    const steps = (Array.isArray(step.decoders) ? step.decoders : []).map(createDecoder);
    return (tokens) => steps.reduce((done, next) => next(done), tokens);
  },
};

/**
 * What tokenizer.json says is done to tokens to read them; without a word, spaces between them.
 *
 * @throws Fail for a step that is not known
 */
export function createDecoder(step: unknown): Decoder {
  if (step === null || step === undefined) return (tokens) => [tokens.join(" ")];
  const type = isObject(step) ? String(step.type) : "";
  if (!isObject(step) || !Object.hasOwn(kinds, type)) {
    throw new Fail("tokenizer.json uses something whet does not know", {
      why: `decoder ${type || JSON.stringify(step)}`,
      exit: Exit.data,
    });
  }
  return kinds[type]!(step);
}
