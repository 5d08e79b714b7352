import { Exit, Fail } from "../base/fail.ts";
import { byteAlphabet } from "./byte_level.ts";
import { readCharsMap } from "./charsmap.ts";
import { isObject, type Json } from "./tokenizer_json.ts";
import { patternOf } from "./pattern.ts";

/** Text to text, before it is split. */
export type Normalizer = (text: string) => string;

const ideographs =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;
const leading = /^\p{White_Space}+/u;
const trailing = /\p{White_Space}+$/u;

/** Lower case letter by letter; JavaScript alone looks at where in a word a sigma is. */
const lowercase = (text: string): string => text.replaceAll("Σ", "σ").toLowerCase();

function bert(step: Json): Normalizer {
  const lower = step.lowercase !== false;
  const clean = step.clean_text !== false;
  const spaced = step.handle_chinese_chars !== false;
  const bare = typeof step.strip_accents === "boolean" ? step.strip_accents : lower;
  return (text) => {
    let out = text;
    if (clean) {
      out = out.replace(/[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/gu, "").replace(
        /\p{White_Space}/gu,
        " ",
      );
    }
    if (spaced) out = out.replace(ideographs, " $& ");
    if (bare) out = out.normalize("NFD").replace(/\p{Mn}/gu, "");
    return lower ? lowercase(out) : out;
  };
}

const text = (value: unknown): string => typeof value === "string" ? value : "";

const kinds: Readonly<Record<string, (step: Json) => Normalizer>> = {
  NFC: () => (text) => text.normalize("NFC"),
  NFD: () => (text) => text.normalize("NFD"),
  NFKC: () => (text) => text.normalize("NFKC"),
  NFKD: () => (text) => text.normalize("NFKD"),
  Lowercase: () => lowercase,
  StripAccents: () => (text) => text.replace(/\p{M}/gu, ""),
  BertNormalizer: bert,
  Precompiled: (step) => readCharsMap(text(step.precompiled_charsmap)),
  ByteLevel: () => {
    const utf8 = new TextEncoder();
    return (text) => Array.from(utf8.encode(text), (byte) => byteAlphabet[byte]).join("");
  },
  Prepend: (step) => (given) => given === "" ? given : text(step.prepend) + given,
  Strip: (step) => (given) => {
    const left = step.strip_left === true ? given.replace(leading, "") : given;
    return step.strip_right === true ? left.replace(trailing, "") : left;
  },
  Replace: (step) => {
    const pattern = patternOf(step.pattern);
    const content = text(step.content);
    return (given) => given.replace(pattern, () => content);
  },
  Nmt: () => (text) =>
    // deno-lint-ignore no-control-regex
    text.replace(/[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]/g, "")
      .replace(/[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g, " "),
  Sequence: (step) => {
    const steps = (Array.isArray(step.normalizers) ? step.normalizers : []).map(createNormalizer);
    return (text) => steps.reduce((done, next) => next(done), text);
  },
};

/**
 * What tokenizer.json says is done to a text before it is split.
 *
 * @throws Fail for a step that is not known
 */
export function createNormalizer(step: unknown): Normalizer {
  if (step === null || step === undefined) return (text) => text;
  const type = isObject(step) ? String(step.type) : "";
  if (!isObject(step) || !Object.hasOwn(kinds, type)) {
    throw new Fail("tokenizer.json uses something whet does not know", {
      why: `normalizer ${type || JSON.stringify(step)}`,
      exit: Exit.data,
    });
  }
  return kinds[type]!(step);
}
