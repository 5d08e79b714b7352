import { byteAlphabet, toByteLevel } from "./byte_level.ts";

/**
 * Trains a byte-level BPE vocabulary (Sennrich et al. 2016, over the byte alphabet of GPT-2) and
 * writes it in the Hugging Face form. Deterministic: ties go to the pair that sorts first.
 */

/** The split of GPT-2: llama.cpp knows the result as pre-tokenizer "gpt-2". */
export const GPT2_SPLIT =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

export interface BpeOptions {
  /** Size of the whole vocabulary: special tokens, 256 bytes, then merges. */
  readonly vocabSize: number;
  /** Special tokens, which take the first ids. */
  readonly special: readonly string[];
  /**
   * Keeps every space a token of its own, so that a word has the same ids after a space and after a
   * quotation mark. A small model can then copy a value from a sentence into JSON token by token.
   */
  readonly loneSpace?: boolean;
  /** Keeps every digit a token of its own. */
  readonly loneDigits?: boolean;
  /** A pair must occur this often to be merged. */
  readonly minCount?: number;
}

export interface Bpe {
  /** Token text in the byte alphabet, index = id; special tokens first, as they are written. */
  readonly tokens: readonly string[];
  readonly merges: readonly (readonly [string, string])[];
  readonly special: readonly string[];
}

/**
 * Learns merges from texts. The vocabulary is smaller than asked for when no pair is left that
 * occurs `minCount` times.
 */
export function trainBpe(texts: Iterable<string>, options: BpeOptions): Bpe {
  const { vocabSize, special, minCount = 2 } = options;
  const alphabet = [...byteAlphabet].sort();
  const tokens = [...special, ...alphabet];
  const known = new Set(tokens);
  const words = countWords(texts);
  const pairs = new Map<string, { count: number; words: Set<Word> }>();
  for (const word of words) addPairs(pairs, word, 1);

  const merges: [string, string][] = [];
  while (tokens.length < vocabSize) {
    let best: string | undefined;
    let bestCount = minCount - 1;
    for (const [pair, { count }] of pairs) {
      if (count < bestCount || (count === bestCount && (best === undefined || pair > best))) {
        continue;
      }
      if (allowed(pair, options)) [best, bestCount] = [pair, count];
    }
    if (best === undefined) break;
    const [left, right] = best.split(" ") as [string, string];
    merges.push([left, right]);
    if (!known.has(left + right)) {
      known.add(left + right);
      tokens.push(left + right);
    }
    for (const word of [...pairs.get(best)!.words]) {
      addPairs(pairs, word, -1);
      word.parts = mergeParts(word.parts, left, right);
      addPairs(pairs, word, 1);
    }
  }
  return { tokens, merges, special };
}

/** The files `tokenizer.json` and `tokenizer_config.json` of a model folder, ready to be written. */
export function tokenizerFiles(
  bpe: Bpe,
  about: { readonly endOfText: string; readonly chatTemplate: string; readonly maxLength: number },
): { tokenizer: Record<string, unknown>; config: Record<string, unknown> } {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true };
  const added = bpe.special.map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: { ...byteLevel, use_regex: true },
    post_processor: null,
    decoder: { ...byteLevel, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(bpe.tokens.map((token, id) => [token, id])),
      merges: bpe.merges,
    },
  };
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: about.endOfText,
    eos_token: about.endOfText,
    pad_token: about.endOfText,
    add_bos_token: false,
    add_eos_token: false,
    clean_up_tokenization_spaces: false,
    model_max_length: about.maxLength,
    chat_template: about.chatTemplate,
  };
  return { tokenizer, config };
}

interface Word {
  parts: string[];
  readonly count: number;
}

function countWords(texts: Iterable<string>): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [piece] of text.matchAll(GPT2_SPLIT)) {
      counts.set(piece, (counts.get(piece) ?? 0) + 1);
    }
  }
  return [...counts].map(([piece, count]) => ({ parts: [...toByteLevel(piece)], count }));
}

function addPairs(
  pairs: Map<string, { count: number; words: Set<Word> }>,
  word: Word,
  sign: 1 | -1,
): void {
  for (let i = 0; i + 1 < word.parts.length; i++) {
    const key = `${word.parts[i]} ${word.parts[i + 1]}`;
    let pair = pairs.get(key);
    if (!pair) pairs.set(key, pair = { count: 0, words: new Set() });
    pair.count += sign * word.count;
    if (sign > 0) pair.words.add(word);
    else pair.words.delete(word);
    if (pair.count === 0) pairs.delete(key);
  }
}

function mergeParts(parts: readonly string[], left: string, right: string): string[] {
  const out: string[] = [];
  for (let i = 0; i < parts.length; i++) {
    const joined = parts[i] === left && parts[i + 1] === right;
    out.push(joined ? left + right : parts[i]!);
    if (joined) i++;
  }
  return out;
}

function allowed(pair: string, options: BpeOptions): boolean {
  if (options.loneSpace && pair.includes(byteAlphabet[0x20]!)) return false;
  return !(options.loneDigits && /[0-9]/.test(pair));
}
