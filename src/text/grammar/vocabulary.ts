import type { Automaton, State } from "./automaton.ts";
import type { Node } from "./nodes.ts";

/** What a vocabulary must tell to be constrained. */
export interface Tokens {
  readonly vocabSize: number;
  /** The bytes that a token adds in the middle of a text; undefined for those that are no text. */
  bytesOf(id: number): Uint8Array | undefined;
  readonly eosIds: readonly number[];
}

/** What a leaf alone admits; the same wherever it stands. */
interface Inside {
  /** Tokens that it takes whole: a bit each, or where they are few their ids. */
  readonly mask: Uint32Array | undefined;
  readonly ids: readonly number[];
  /** Trie nodes at which it is complete while tokens go on. */
  readonly ends: readonly number[];
}

/**
 * The tokens of a model as a trie, so that those that begin alike are tried together. Nodes lie in the order
 * of a walk (parents first), one byte each, so that the nodes below one are those up to `past` it.
 */
export class Vocabulary {
  readonly size: number;
  readonly eosIds: readonly number[];
  readonly #byte: Uint8Array;
  readonly #depth: Uint16Array;
  readonly #past: Int32Array;
  /** The token that ends at a node, or -1; further ones of the same bytes. */
  readonly #id: Int32Array;
  readonly #twins: ReadonlyMap<number, readonly number[]>;
  readonly #inside = new WeakMap<State, Inside>();

  /** @param rows how many logits the model has: at least the tokens, more where it is padded */
  constructor(tokens: Tokens, rows: number = tokens.vocabSize) {
    this.size = rows;
    this.eosIds = tokens.eosIds.filter((id) => id < rows);
    const grown = new Growing(), eos = new Set(tokens.eosIds);
    for (let id = 0; id < Math.min(rows, tokens.vocabSize); id++) {
      const bytes = tokens.bytesOf(id);
      if (bytes && bytes.length > 0 && !eos.has(id)) grown.add(bytes, id);
    }
    ({ byte: this.#byte, depth: this.#depth, past: this.#past, id: this.#id, twins: this.#twins } =
      grown.laidOut());
  }

  /** One bit a token, set where it may come next: word i holds tokens 32 i to 32 i + 31. */
  mask(automaton: Automaton, state: State): Uint32Array {
    if (state.mask) return state.mask;
    const mask = new Uint32Array(Math.ceil(this.size / 32));
    // A token goes on in any of the ways that the state has, and leaves a leaf for what follows it.
    for (const { node, next } of state.leaves) {
      const inside = this.#insideOf(automaton, node);
      inside.mask?.forEach((bits, i) => mask[i]! |= bits);
      for (const id of inside.ids) mask[id >>> 5]! |= 1 << (id & 31);
      if (next === undefined || inside.ends.length === 0) continue;
      const follows = automaton.at(next);
      for (const end of inside.ends) {
        this.#walk(automaton, follows, end, (k) => {
          for (const id of this.#idsAt(k)) mask[id >>> 5]! |= 1 << (id & 31);
        });
      }
    }
    if (state.accepts) { for (const id of this.eosIds) mask[id >>> 5]! |= 1 << (id & 31); }
    return state.mask = mask;
  }

  /** The tokens of a text, each the longest that fits; undefined where a byte has none. */
  greedy(text: string): number[] | undefined {
    const ids: number[] = [];
    for (let at = 0; at < text.length;) {
      let best = -1, end = at;
      let k = 0, past = this.#past.length;
      for (let i = at; k < past && i < text.length;) {
        if (this.#byte[k] !== text.charCodeAt(i)) {
          k = this.#past[k]!;
          continue;
        }
        i++;
        if (this.#id[k]! >= 0) [best, end] = [this.#id[k]!, i];
        past = this.#past[k]!;
        k++;
      }
      if (best < 0) return undefined;
      ids.push(best);
      at = end;
    }
    return ids;
  }

  #insideOf(automaton: Automaton, node: Node): Inside {
    const alone = automaton.alone(node), known = this.#inside.get(alone);
    if (known) return known;
    const ids: number[] = [], ends: number[] = [];
    this.#walk(automaton, alone, -1, (k, { accepts }) => {
      ids.push(...this.#idsAt(k));
      if (accepts && this.#past[k]! > k + 1) ends.push(k);
    });
    let mask: Uint32Array | undefined;
    if (ids.length > this.size / 32) {
      mask = new Uint32Array(Math.ceil(this.size / 32));
      for (const id of ids) mask[id >>> 5]! |= 1 << (id & 31);
    }
    const made = { mask, ids: mask ? [] : ids, ends };
    this.#inside.set(alone, made);
    return made;
  }

  #idsAt(k: number): readonly number[] {
    const id = this.#id[k]!;
    return id < 0 ? [] : this.#twins.get(k) ?? [id];
  }

  /** Visits the nodes below one (-1: all) that can be read from a state, each with the state behind it. */
  #walk(
    automaton: Automaton,
    from: State,
    below: number,
    visit: (k: number, state: State) => void,
  ): void {
    const byte = this.#byte, depth = this.#depth, past = this.#past;
    const path: State[] = [], end = below < 0 ? past.length : past[below]!;
    path[below < 0 ? 0 : depth[below]!] = from;
    for (let k = below + 1; k < end;) {
      const at = path[depth[k]! - 1]!;
      let after = at.steps[byte[k]!];
      if (after === undefined) after = automaton.step(at, byte[k]!) ?? null;
      if (after === null) {
        k = past[k]!;
        continue;
      }
      path[depth[k]!] = after;
      visit(k++, after);
    }
  }
}

/** A trie to which tokens are added: children are lists. */
class Growing {
  readonly #byte = [0];
  readonly #child = [0];
  readonly #sibling = [0];
  readonly #id = [-1];
  readonly #twins = new Map<number, number[]>();
  /** Children of the root and of those, which are many, by their bytes. */
  readonly #near = new Int32Array(256 + 65536);

  add(bytes: Uint8Array, id: number): void {
    let at = 0;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!;
      const slot = i === 0 ? byte : i === 1 ? 256 + (bytes[0]! << 8 | byte) : -1;
      let child = slot < 0 ? this.#child[at]! : this.#near[slot]!;
      if (slot < 0) {
        while (child !== 0 && this.#byte[child] !== byte) child = this.#sibling[child]!;
      }
      if (child === 0) {
        child = this.#byte.push(byte) - 1;
        this.#child.push(0);
        this.#sibling.push(this.#child[at]!);
        this.#id.push(-1);
        this.#child[at] = child;
        if (slot >= 0) this.#near[slot] = child;
      }
      at = child;
    }
    const first = this.#id[at]!;
    if (first < 0) this.#id[at] = id;
    else this.#twins.set(at, [...this.#twins.get(at) ?? [first], id]);
  }

  /** The nodes but the root, in the order of a walk. */
  laidOut() {
    const n = this.#byte.length - 1;
    const byte = new Uint8Array(n), depth = new Uint16Array(n), past = new Int32Array(n);
    const id = new Int32Array(n), twins = new Map<number, readonly number[]>();
    const open: number[] = [];
    const close = (deep: number, k: number) => {
      while (open.length > deep) past[open.pop()!] = k;
    };
    const waiting = n === 0 ? [] : [{ node: this.#child[0]!, deep: 0 }];
    for (let k = 0; waiting.length > 0; k++) {
      const { node, deep } = waiting.pop()!;
      close(deep, k);
      open.push(k);
      byte[k] = this.#byte[node]!;
      depth[k] = deep + 1;
      id[k] = this.#id[node]!;
      const all = this.#twins.get(node);
      if (all) twins.set(k, all);
      if (this.#sibling[node] !== 0) waiting.push({ node: this.#sibling[node]!, deep });
      if (this.#child[node] !== 0) waiting.push({ node: this.#child[node]!, deep: deep + 1 });
    }
    close(0, n);
    return { byte, depth, past, id, twins };
  }
}
