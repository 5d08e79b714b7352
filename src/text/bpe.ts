import { Exit, Fail } from "../base/fail.ts";
import { PairTable } from "./pair_table.ts";

/** Turns one piece of text into ids, put at the end of `out`. */
export type PieceEncoder = (piece: string, out: number[]) => void;

/** Which neighbours may join: the smallest rank first, the leftmost of equal ones. */
export interface Joins {
  /** Rank of joining two symbols, -1 where they do not join. */
  rank(left: number, right: number): number;
  /** The symbol that two of rank `rank` become. */
  joined(left: number, right: number, rank: number): number;
}

const utf8 = new TextEncoder();

/** The token of a byte where a vocabulary spells bytes out. */
export const byteToken = (byte: number): string =>
  `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;

/** The byte that a token spells, undefined for other tokens. */
export function tokenByte(token: string): number | undefined {
  return /^<0x[0-9A-Fa-f]{2}>$/.test(token) ? parseInt(token.slice(3, 5), 16) : undefined;
}

/** Ids of the bytes of `text`, undefined where one has no token. */
export function byteIds(
  vocab: ReadonlyMap<string, number>,
  text: string,
): number[] | undefined {
  const ids: number[] = [];
  for (const byte of utf8.encode(text)) {
    const id = vocab.get(byteToken(byte));
    if (id === undefined) return undefined;
    ids.push(id);
  }
  return ids;
}

/** Below this many symbols looking through all of them is faster than keeping a heap. */
const shortPiece = 24;

/** Joins symbols in place until none join (Sennrich et al. 2016), and puts what is left into out. */
export function joinAll(symbols: number[], joins: Joins, out: number[]): void {
  if (symbols.length < shortPiece) joinShort(symbols, joins);
  else symbols = joinLong(symbols, joins);
  for (const symbol of symbols) out.push(symbol);
}

function joinShort(symbols: number[], joins: Joins): void {
  const ranks: number[] = [];
  for (let i = 0; i + 1 < symbols.length; i++) {
    ranks.push(joins.rank(symbols[i]!, symbols[i + 1]!));
  }
  for (;;) {
    let best = -1;
    for (let i = 0; i < ranks.length; i++) {
      if (ranks[i]! >= 0 && (best < 0 || ranks[i]! < ranks[best]!)) best = i;
    }
    if (best < 0) return;
    symbols[best] = joins.joined(symbols[best]!, symbols[best + 1]!, ranks[best]!);
    symbols.splice(best + 1, 1);
    ranks.splice(best, 1);
    if (best > 0) ranks[best - 1] = joins.rank(symbols[best - 1]!, symbols[best]!);
    if (best < ranks.length) ranks[best] = joins.rank(symbols[best]!, symbols[best + 1]!);
  }
}

/** The same with a heap of (rank, place): n log n. */
function joinLong(symbols: number[], joins: Joins): number[] {
  const count = symbols.length;
  const next = Int32Array.from({ length: count }, (_, i) => i + 1 < count ? i + 1 : -1);
  const previous = Int32Array.from({ length: count }, (_, i) => i - 1);
  const rankAt = new Int32Array(count).fill(-1);
  const heap: number[] = [];
  // Rank and place in one number: both stay below 2^26.
  const span = 2 ** 26;
  const push = (place: number) => {
    const right = next[place]!;
    const rank = right < 0 ? -1 : joins.rank(symbols[place]!, symbols[right]!);
    rankAt[place] = rank;
    if (rank < 0) return;
    let at = heap.push(0) - 1;
    const key = rank * span + place;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]! <= key) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = key;
  };
  const pop = (): number => {
    const top = heap[0]!;
    const last = heap.pop()!;
    const size = heap.length;
    if (size === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= last) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  };
  for (let place = 0; place + 1 < count; place++) push(place);
  while (heap.length > 0) {
    const key = pop();
    const place = key % span;
    const rank = (key - place) / span;
    if (rankAt[place] !== rank) continue;
    const right = next[place]!;
    symbols[place] = joins.joined(symbols[place]!, symbols[right]!, rank);
    rankAt[right] = -1;
    next[place] = next[right]!;
    if (next[place]! >= 0) previous[next[place]!] = place;
    push(place);
    if (previous[place]! >= 0) push(previous[place]!);
  }
  const rest: number[] = [];
  for (let place = 0; place >= 0; place = next[place]!) rest.push(symbols[place]!);
  return rest;
}

export interface BpeParts {
  readonly vocab: ReadonlyMap<string, number>;
  readonly merges: readonly (readonly [string, string])[];
  readonly unk?: number;
  readonly fuseUnk?: boolean;
  readonly byteFallback?: boolean;
  /** Pieces that are a token without any merge. */
  readonly wholePieces?: ReadonlyMap<string, number>;
  readonly continuingPrefix?: string;
  readonly endSuffix?: string;
}

/**
 * Byte pair encoding by a list of merges, as Hugging Face tokenizers do it: characters to tokens
 * (with byte fallback or the unknown token where they have none), then merges in order of their rank.
 *
 * @throws Fail for a merge of or into something that is not in the vocabulary; the encoder, for a
 *   character that cannot be written at all
 */
export function createBpe(parts: BpeParts): PieceEncoder {
  const { vocab, merges, unk, continuingPrefix = "", endSuffix = "" } = parts;
  const ranks = new PairTable(merges.length);
  const results = new Int32Array(merges.length);
  for (const [rank, [left, right]] of merges.entries()) {
    const a = vocab.get(left);
    const b = vocab.get(right);
    const whole = vocab.get(left + right.slice(continuingPrefix.length));
    if (a === undefined || b === undefined || whole === undefined) {
      throw new Fail(
        `tokenizer.json: merge ${JSON.stringify([left, right]).slice(0, 120)} ` +
          `${whole === undefined ? "makes" : "needs"} a token that is not in the vocabulary`,
        {
          why: "the vocabulary and the merges do not belong together",
          fix: "download the model's tokenizer files again",
          exit: Exit.data,
        },
      );
    }
    ranks.set(a, b, rank);
    results[rank] = whole;
  }
  const joins: Joins = {
    rank: (left, right) => ranks.get(left, right),
    joined: (_left, _right, rank) => results[rank]!,
  };

  return (piece, out) => {
    const whole = parts.wholePieces?.get(piece);
    if (whole !== undefined) {
      out.push(whole);
      return;
    }
    const symbols: number[] = [];
    let unknown = false;
    const flush = () => {
      if (unknown) symbols.push(unk!);
      unknown = false;
    };
    for (let at = 0; at < piece.length;) {
      const char = String.fromCodePoint(piece.codePointAt(at)!);
      const start = at === 0 ? char : continuingPrefix + char;
      at += char.length;
      const written = at < piece.length ? start : start + endSuffix;
      const id = vocab.get(written);
      if (id !== undefined) {
        flush();
        symbols.push(id);
        continue;
      }
      const bytes = parts.byteFallback === true ? byteIds(vocab, written) : undefined;
      if (bytes !== undefined) symbols.push(...bytes);
      else if (unk === undefined) throw noToken(char);
      else {
        if (parts.fuseUnk !== true) flush();
        unknown = true;
      }
    }
    flush();
    joinAll(symbols, joins, out);
  };
}

/** What is thrown where a text cannot be written with a vocabulary. */
export function noToken(char: string): Fail {
  return new Fail("the tokenizer would lose part of the text", {
    why: `its vocabulary does not hold every byte of this text: ${JSON.stringify(char)}`,
    fix: "use the tokenizer files that belong to the model",
    exit: Exit.data,
  });
}
