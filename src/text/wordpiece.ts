import { noToken, type PieceEncoder } from "./bpe.ts";

export interface WordPieceParts {
  readonly vocab: ReadonlyMap<string, number>;
  readonly unk?: number;
  /** Put before every token but a word's first. */
  readonly continuingPrefix: string;
  /** Words of more characters are unknown. */
  readonly maxCharacters: number;
}

/** The longest token first, from the left (Wu et al. 2016); a word with a rest is unknown. */
export function createWordPiece(parts: WordPieceParts): PieceEncoder {
  const { vocab, unk, continuingPrefix, maxCharacters } = parts;
  let longest = 0;
  for (const token of vocab.keys()) longest = Math.max(longest, token.length);
  const unknown = (word: string, out: number[]) => {
    if (unk === undefined) throw noToken(word);
    out.push(unk);
  };
  return (word, out) => {
    if (word.length > maxCharacters && Array.from(word).length > maxCharacters) {
      return unknown(word, out);
    }
    const found: number[] = [];
    for (let start = 0; start < word.length;) {
      const prefix = start > 0 ? continuingPrefix : "";
      let end = Math.min(word.length, start + longest);
      let id: number | undefined;
      for (; end > start; end--) {
        // Never in the middle of a surrogate pair: no token ends there.
        id = vocab.get(prefix + word.slice(start, end));
        if (id !== undefined) break;
      }
      if (id === undefined) return unknown(word, out);
      found.push(id);
      start = end;
    }
    for (const id of found) out.push(id);
  };
}

/** Whole pieces only. */
export function createWordLevel(
  vocab: ReadonlyMap<string, number>,
  unk: number | undefined,
): PieceEncoder {
  return (word, out) => {
    const id = vocab.get(word) ?? unk;
    if (id === undefined) throw noToken(word);
    out.push(id);
  };
}
