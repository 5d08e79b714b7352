import { Exit, Fail } from "../base/fail.ts";
import { toByteLevel } from "./byte_level.ts";
import { compilePattern, patternOf, rustWord } from "./pattern.ts";
import { type Json, preTokenizerSteps } from "./tokenizer_json.ts";

/** Cuts a text into pieces; `first` where it begins the whole text. No piece is empty. */
export type Split = (text: string, first: boolean) => string[];

export interface PreTokenizer {
  readonly split: Split;
  /** How a piece is spelled for the model, where that is done piece by piece at the end. */
  readonly spell: ((piece: string) => string) | undefined;
}

const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** One of every kind of character: what matches each of these leaves no gap in any text. */
const samples = [
  ..."aZéª中٣9½Ⅷ_-.!$+'\"|{~ \t\n\r\u0085\u00a0\u2028\u3000\0\u200d\u0301\ufeff\ue000🙂",
];

/** Milliseconds that splitting may take: a second, and a second for every 200,000 characters. */
const patience = (text: string): number => 1000 + text.length / 200;

const lost = (): Fail =>
  new Fail("the tokenizer would lose part of the text", {
    why: "its pre-tokenizer did not split this text completely",
    fix: "use the tokenizer files that belong to the model",
    exit: Exit.data,
  });

interface Part {
  readonly text: string;
  readonly match: boolean;
}

/** Matches and what lies between them, in order. */
function partsOf(pattern: RegExp, text: string): Part[] {
  const parts: Part[] = [];
  const until = performance.now() + patience(text);
  let done = 0;
  for (const found of text.matchAll(pattern)) {
    if (found.index > done) parts.push({ text: text.slice(done, found.index), match: false });
    if (found[0] !== "") parts.push({ text: found[0], match: true });
    done = found.index + found[0].length;
    if (performance.now() > until) {
      throw new Fail("a pattern of the tokenizer takes too long on this text", {
        why: `${text.length} characters, ${parts.length} pieces so far`,
        fix: "use the tokenizer files that belong to the model",
        exit: Exit.data,
      });
    }
  }
  if (done < text.length) parts.push({ text: text.slice(done), match: false });
  return parts;
}

const behaviours: Readonly<Record<string, (parts: readonly Part[]) => string[]>> = {
  Removed: (parts) => parts.filter(({ match }) => !match).map(({ text }) => text),
  Isolated: (parts) => parts.map(({ text }) => text),
  Contiguous: (parts) => join(parts, (a, b) => a.match === b.match),
  MergedWithPrevious: (parts) => join(parts, (a, b) => !a.match && b.match),
  MergedWithNext: (parts) => join(parts, (a, b) => a.match && !b.match),
};

/** Pieces in which a part hangs on to the one before it where `together` says so. */
function join(parts: readonly Part[], together: (a: Part, b: Part) => boolean): string[] {
  const pieces: string[] = [];
  for (const [i, part] of parts.entries()) {
    if (i > 0 && together(parts[i - 1]!, part)) pieces[pieces.length - 1] += part.text;
    else pieces.push(part.text);
  }
  return pieces;
}

function splitBy(pattern: RegExp, behaviour: unknown, invert = false): Split {
  const name = typeof behaviour === "string" ? behaviour : "";
  if (!Object.hasOwn(behaviours, name)) throw unknown(`the split behaviour ${name}`);
  const arrange = behaviours[name]!;
  const whole = name === "Isolated" && !invert;
  const total = whole && samples.every((sample) => sample.match(pattern)?.join("") === sample);
  return (text) => {
    if (total) {
      const pieces = text.match(pattern) ?? [];
      let length = 0;
      for (const piece of pieces) length += piece.length;
      // An engine that gives up on a pattern says that nothing matches.
      if (length !== text.length) throw lost();
      return pieces;
    }
    const parts = partsOf(pattern, text);
    return arrange(invert ? parts.map((part) => ({ ...part, match: !part.match })) : parts);
  };
}

const spaces = /\p{White_Space}/gu;
/** What Rust's BertPreTokenizer and Punctuation isolate. */
const punctuation = /[\p{P}$+<=>^`|~]/gu;

const apply = (steps: readonly Split[]): Split => (text, first) => {
  let pieces = [text];
  for (const step of steps) {
    const next: string[] = [];
    for (const [i, piece] of pieces.entries()) {
      for (const part of step(piece, first && i === 0 && text.startsWith(piece))) {
        if (part !== "") next.push(part);
      }
    }
    pieces = next;
  }
  return pieces;
};

function metaspace(step: Json): Split {
  const mark = typeof step.replacement === "string" ? step.replacement : "\u2581";
  const scheme = typeof step.prepend_scheme === "string"
    ? step.prepend_scheme
    : step.add_prefix_space === false
    ? "never"
    : "always";
  const cut = splitBy(patternOf({ String: mark }), "MergedWithNext");
  return (text, first) => {
    const marked = text.replaceAll(" ", mark);
    const bare = scheme === "never" || (scheme === "first" && !first) || marked.startsWith(mark);
    const whole = bare ? marked : mark + marked;
    return step.split === false ? [whole] : cut(whole, first);
  };
}

const kinds: Readonly<Record<string, (step: Json) => Split>> = {
  ByteLevel: (step) => {
    const cut = step.use_regex === false ? undefined : splitBy(compilePattern(gpt2), "Isolated");
    return (text, first) => {
      const whole = step.add_prefix_space === true && !text.startsWith(" ") ? ` ${text}` : text;
      return cut === undefined ? [whole] : cut(whole, first);
    };
  },
  Metaspace: metaspace,
  Split: (step) => splitBy(patternOf(step.pattern), step.behavior, step.invert === true),
  Digits: (step) => splitBy(/\p{N}/gu, step.individual_digits === true ? "Isolated" : "Contiguous"),
  Whitespace: () =>
    splitBy(new RegExp(`[${rustWord}]+|[^${rustWord}\\p{White_Space}]+`, "gu"), "Removed", true),
  WhitespaceSplit: () => splitBy(spaces, "Removed"),
  Punctuation: (step) => splitBy(punctuation, step.behavior ?? "Isolated"),
  BertPreTokenizer: () => apply([splitBy(spaces, "Removed"), splitBy(punctuation, "Isolated")]),
  CharDelimiterSplit: (step) => splitBy(patternOf({ String: step.delimiter }), "Removed"),
};

const unknown = (what: string): Fail =>
  new Fail("tokenizer.json uses something whet does not know", { why: what, exit: Exit.data });

/**
 * How tokenizer.json says a text is cut into pieces that the model sees one by one.
 *
 * @throws Fail for a step that is not known; the split itself, when it would lose text or a
 *   pattern takes too long
 */
export function createPreTokenizer(step: unknown): PreTokenizer {
  const steps = preTokenizerSteps(step);
  const splits = steps.flatMap((step, i): Split[] => {
    const type = String(step.type);
    if (!Object.hasOwn(kinds, type)) throw unknown(`pre-tokenizer ${type}`);
    const split = kinds[type]!(step);
    const spells = type === "ByteLevel" && i < steps.length - 1;
    return spells ? [split, (text) => [toByteLevel(text)]] : [split];
  });
  return {
    split: splits.length === 1 ? splits[0]! : apply(splits),
    spell: steps.at(-1)?.type === "ByteLevel" ? toByteLevel : undefined,
  };
}
