import type { Automaton, State } from "./automaton.ts";

/** What a vocabulary must tell to be constrained. */
export interface Tokens {
  readonly vocabSize: number;
  /** The bytes that a token adds in the middle of a text; undefined for those that are no text. */
  bytesOf(id: number): Uint8Array | undefined;
  readonly eosIds: readonly number[];
}

/** The tokens of a model in the order of their bytes, so that those that begin alike are tried together. */
export class Vocabulary {
  readonly size: number;
  readonly eosIds: readonly number[];
  readonly #texts: readonly string[];
  readonly #ids: Int32Array;
  /** How many bytes each has in common with the one before it. */
  readonly #shared: Int32Array;
  readonly #idOf = new Map<string, number>();
  readonly longest: number;

  /** @param rows how many logits the model has: at least the tokens, more where it is padded */
  constructor(tokens: Tokens, rows: number = tokens.vocabSize) {
    const all: { id: number; text: string }[] = [];
    for (let id = 0; id < Math.min(rows, tokens.vocabSize); id++) {
      const bytes = tokens.bytesOf(id);
      if (!bytes || bytes.length === 0 || tokens.eosIds.includes(id)) continue;
      all.push({ id, text: String.fromCharCode(...bytes) });
    }
    all.sort((a, b) => a.text < b.text ? -1 : a.text > b.text ? 1 : a.id - b.id);
    this.size = rows;
    this.eosIds = tokens.eosIds.filter((id) => id < rows);
    this.#texts = all.map(({ text }) => text);
    this.#ids = Int32Array.from(all, ({ id }) => id);
    this.#shared = Int32Array.from(
      all,
      ({ text }, i) => i === 0 ? 0 : common(all[i - 1]!.text, text),
    );
    for (const { id, text } of all) if (!this.#idOf.has(text)) this.#idOf.set(text, id);
    this.longest = all.reduce((most, { text }) => Math.max(most, text.length), 0);
  }

  /** One bit a token, set where it may come next: word i holds tokens 32 i to 32 i + 31. */
  mask(automaton: Automaton, state: State): Uint32Array {
    if (state.mask) return state.mask;
    const mask = new Uint32Array(Math.ceil(this.size / 32));
    const texts = this.#texts, ids = this.#ids, shared = this.#shared, n = texts.length;
    const path: State[] = [state];
    let i = 0;
    next: while (i < n) {
      const text = texts[i]!;
      let depth = shared[i]!;
      let at = path[depth]!;
      while (depth < text.length) {
        const after = at.steps[text.charCodeAt(depth)] ??
          automaton.step(at, text.charCodeAt(depth));
        if (!after) {
          // All that begin as this one did up to here fail as it did.
          do i++; while (i < n && shared[i]! > depth);
          continue next;
        }
        path[++depth] = at = after;
      }
      const id = ids[i]!;
      mask[id >>> 5]! |= 1 << (id & 31);
      i++;
    }
    if (state.accepts) { for (const id of this.eosIds) mask[id >>> 5]! |= 1 << (id & 31); }
    return state.mask = mask;
  }

  /** The tokens of a text, each the longest that fits; undefined where a byte has none. */
  greedy(text: string): number[] | undefined {
    const ids: number[] = [];
    for (let at = 0; at < text.length;) {
      let length = Math.min(this.longest, text.length - at), id: number | undefined;
      for (; length > 0; length--) {
        id = this.#idOf.get(text.slice(at, at + length));
        if (id !== undefined) break;
      }
      if (id === undefined) return undefined;
      ids.push(id);
      at += length;
    }
    return ids;
  }
}

function common(a: string, b: string): number {
  let n = 0;
  while (n < a.length && n < b.length && a.charCodeAt(n) === b.charCodeAt(n)) n++;
  return n;
}
