import { byteIds, joinAll, type Joins, noToken, type PieceEncoder } from "./bpe.ts";

/** Kinds of pieces, numbered alike in tokenizer.model and in GGUF vocabularies. */
export const pieceType = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const;

/** The pieces of a SentencePiece vocabulary by id. */
export interface Pieces {
  readonly texts: readonly string[];
  readonly scores: ArrayLike<number>;
  readonly types: ArrayLike<number>;
}

/** Ids in groups of equal score, the best group first: rank by id. */
function ranksOf({ texts, scores }: Pieces): Int32Array {
  const order = Array.from(texts.keys()).sort((a, b) => scores[b]! - scores[a]! || a - b);
  const ranks = new Int32Array(texts.length);
  let rank = 0;
  for (const [i, id] of order.entries()) {
    if (i > 0 && scores[id] !== scores[order[i - 1]!]) rank++;
    ranks[id] = rank;
  }
  return ranks;
}

/**
 * SentencePiece's BPE: of all neighbours that make a piece, the pair with the best score joins, the
 * leftmost of equal ones. User-defined pieces are taken first and never join; what is left without
 * a piece is written in bytes, or is one unknown token for a run of characters.
 *
 * The encoder throws a Fail for a character that cannot be written at all.
 */
export function createSpmBpe(
  pieces: Pieces,
  unk: number | undefined,
): PieceEncoder {
  const { texts, types } = pieces;
  const ranks = ranksOf(pieces);
  const joinable = new Map<string, number>();
  const bytes = new Map<string, number>();
  const fixed: string[] = [];
  for (const [id, text] of texts.entries()) {
    const type = types[id];
    if (type === pieceType.byte) bytes.set(text, id);
    if (type !== pieceType.normal && type !== pieceType.userDefined) continue;
    if (text === "") continue;
    joinable.set(text, id);
    if (type === pieceType.userDefined) fixed.push(text);
  }
  const fixedFirst = new Set(fixed.map((text) => text[0]!));
  fixed.sort((a, b) => b.length - a.length);

  // Symbols are ids; characters without a piece get the numbers after them, for one text at a time.
  let strange: string[] = [];
  const textOf = (symbol: number): string => texts[symbol] ?? strange[symbol - texts.length]!;
  const whole = (left: number, right: number): number | undefined =>
    left < 0 || right < 0 ? undefined : joinable.get(textOf(left) + textOf(right));
  const joins: Joins = {
    rank: (left, right) => {
      const id = whole(left, right);
      return id === undefined ? -1 : ranks[id]!;
    },
    joined: (left, right) => whole(left, right)!,
  };

  return (piece, out) => {
    strange = [];
    const symbols: number[] = [];
    for (let at = 0; at < piece.length;) {
      // A frozen symbol is written as -1 - id, so that it joins nothing.
      const frozen = fixedFirst.has(piece[at]!)
        ? fixed.find((text) => piece.startsWith(text, at))
        : undefined;
      if (frozen !== undefined) {
        symbols.push(-1 - joinable.get(frozen)!);
        at += frozen.length;
        continue;
      }
      const char = String.fromCodePoint(piece.codePointAt(at)!);
      at += char.length;
      symbols.push(joinable.get(char) ?? texts.length + strange.push(char) - 1);
    }
    const joined: number[] = [];
    joinAll(symbols, joins, joined);
    let unknown = false;
    for (const symbol of joined) {
      const known = symbol < texts.length;
      if (known) out.push(symbol < 0 ? -1 - symbol : symbol);
      else {
        const spelled = byteIds(bytes, textOf(symbol));
        if (spelled !== undefined) out.push(...spelled);
        else if (unk === undefined) throw noToken(textOf(symbol));
        else if (!unknown) out.push(unk);
        unknown = spelled === undefined;
        continue;
      }
      unknown = false;
    }
  };
}

/**
 * Whether no piece goes on over the beginning of a word ("▁" after anything else): then a text can be
 * cut there without changing its ids.
 */
export function wordsAreApart(texts: Iterable<string>): boolean {
  for (const text of texts) if (/[^\u2581]\u2581/.test(text)) return false;
  return true;
}

/** A text cut before every run of "▁". */
export const marksWords = (text: string): string[] =>
  text.match(/\u2581+[^\u2581]*|[^\u2581]+/g) ?? [];
