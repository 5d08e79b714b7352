import { byteIds, noToken, type PieceEncoder } from "./bpe.ts";
import { PairTable } from "./pair_table.ts";

/** What an unknown character costs beyond the worst token. */
const unknownPenalty = 10;

export interface UnigramParts {
  /** Token texts by id; undefined where text is never turned into the id. */
  readonly tokens: readonly (string | undefined)[];
  /** Log-probabilities by id. */
  readonly scores: ArrayLike<number>;
  readonly unk?: number;
  readonly byteFallback?: boolean;
}

/**
 * The unigram language model's most probable cut (Kudo 2018), found by Viterbi over a trie of the
 * vocabulary. Neighbouring unknown characters are one unknown token, or their bytes.
 *
 * The encoder throws a Fail for a character that cannot be written at all.
 */
export function createUnigram({ tokens, scores, unk, byteFallback }: UnigramParts): PieceEncoder {
  const vocab = new Map<string, number>();
  let least = Infinity;
  for (const [id, token] of tokens.entries()) {
    least = Math.min(least, scores[id]!);
    if (token !== undefined && token !== "") vocab.set(token, id);
  }
  let units = 0;
  for (const token of vocab.keys()) units += token.length;
  const children = new PairTable(units);
  const idAt = [-1];
  for (const [token, id] of vocab) {
    let node = 0;
    for (let i = 0; i < token.length; i++) {
      const unit = token.charCodeAt(i);
      let child = children.get(node, unit);
      if (child < 0) {
        child = idAt.push(-1) - 1;
        children.set(node, unit, child);
      }
      node = child;
    }
    idAt[node] = id;
  }
  const unknownScore = least - unknownPenalty;
  const unknownId = -2;

  return (piece, out) => {
    const size = piece.length;
    const best = new Float64Array(size + 1).fill(-Infinity);
    const from = new Int32Array(size + 1).fill(-1);
    const ids = new Int32Array(size + 1);
    best[0] = 0;
    const offer = (end: number, start: number, score: number, id: number) => {
      if (from[end]! >= 0 && !(score > best[end]!)) return;
      best[end] = score;
      from[end] = start;
      ids[end] = id;
    };
    for (let start = 0; start < size;) {
      const width = piece.codePointAt(start)! > 0xffff ? 2 : 1;
      let single = false;
      let node = 0;
      for (let end = start; end < size;) {
        node = children.get(node, piece.charCodeAt(end++));
        if (node < 0) break;
        const id = idAt[node]!;
        if (id < 0) continue;
        offer(end, start, best[start]! + scores[id]!, id === unk ? unknownId : id);
        single ||= end - start === width;
      }
      if (!single) offer(start + width, start, best[start]! + unknownScore, unknownId);
      start += width;
    }
    const found: number[] = [];
    for (let end = size, start = 0; end > 0; end = start) {
      start = from[end]!;
      if (ids[end] !== unknownId) {
        found.push(ids[end]!);
        continue;
      }
      while (start > 0 && ids[start] === unknownId) start = from[start]!;
      const text = piece.slice(start, end);
      const bytes = byteFallback === true ? byteIds(vocab, text) : undefined;
      if (bytes !== undefined) found.push(...bytes.reverse());
      else if (unk === undefined) throw noToken(text);
      else found.push(unk);
    }
    for (let i = found.length; i-- > 0;) out.push(found[i]!);
  };
}
