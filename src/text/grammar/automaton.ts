import type { Cont, Node } from "./nodes.ts";

/**
 * A node as an automaton over bytes, made as it is walked: a state is the set of ways in which what was
 * read may go on. Equal sets are one state, and every step is taken once.
 */
export class Automaton {
  readonly #conts = new Map<string, Cont>();
  readonly #states = new Map<string, State>();
  readonly #at = new Map<Cont, State>();
  readonly start: State;

  constructor(root: Node) {
    this.start = this.alone(root);
  }

  /** The state in which a node must come and nothing behind it. */
  alone(node: Node): State {
    return this.at(this.#cont(node, undefined));
  }

  /** The state in which this must still come. */
  at(cont: Cont): State {
    let state = this.#at.get(cont);
    if (!state) this.#at.set(cont, state = this.#state([cont]));
    return state;
  }

  /** The state after a byte; undefined where none may come. */
  step(state: State, byte: number): State | undefined {
    const known = state.steps[byte];
    if (known !== undefined) return known ?? undefined;
    const after: (Cont | undefined)[] = [];
    for (const { node, next } of state.leaves) {
      const left = node.step!(byte);
      if (left === undefined) continue;
      after.push(left === null ? next : this.#cont(left, next));
    }
    const made = after.length === 0 ? null : this.#state(after);
    state.steps[byte] = made;
    return made ?? undefined;
  }

  /** The same for a text of one byte a character. */
  read(state: State, text: string): State | undefined {
    let at: State | undefined = state;
    for (let i = 0; at && i < text.length; i++) at = this.step(at, text.charCodeAt(i));
    return at;
  }

  /** Shortest text that ends the answer from here, a byte a character; undefined where none is finite. */
  ending(state: State): string | undefined {
    if (state.end !== undefined) return state.end ?? undefined;
    let best: string | undefined = state.accepts ? "" : undefined;
    for (const leaf of state.leaves) {
      let text = "";
      for (let at: Cont | undefined = leaf; at; at = at.next) {
        const part = at.node.shortest();
        if (part === undefined) {
          text = undefined as never;
          break;
        }
        text += part;
        if (best !== undefined && text.length >= best.length) break;
      }
      if (text !== undefined && (best === undefined || text.length < best.length)) best = text;
    }
    state.end = best ?? null;
    return best;
  }

  get size(): number {
    return this.#states.size;
  }

  #cont(node: Node, next: Cont | undefined): Cont {
    const key = `${node.id},${next?.id ?? 0}`;
    const found = this.#conts.get(key);
    if (found) return found;
    const made = { id: this.#conts.size + 1, node, next };
    this.#conts.set(key, made);
    return made;
  }

  /** The state of what may come, composites expanded down to leaves. */
  #state(conts: readonly (Cont | undefined)[]): State {
    const leaves = new Map<number, Cont>(), seen = new Set<number>();
    let accepts = false;
    const waiting = [...conts];
    while (waiting.length > 0) {
      const cont = waiting.pop();
      if (cont === undefined) {
        accepts = true;
        continue;
      }
      if (seen.has(cont.id)) continue;
      seen.add(cont.id);
      const { node, next } = cont;
      if (node.step) leaves.set(cont.id, cont);
      if (node.nullable) waiting.push(next);
      for (const way of node.expand?.() ?? []) {
        let rest = next;
        for (const part of way.toReversed()) rest = this.#cont(part, rest);
        waiting.push(rest);
      }
    }
    const key = `${accepts ? "!" : ""}${[...leaves.keys()].sort((a, b) => a - b).join()}`;
    const found = this.#states.get(key);
    if (found) return found;
    const made: State = {
      leaves: [...leaves.values()],
      accepts,
      steps: [],
      end: undefined,
      plan: undefined,
      mask: undefined,
    };
    this.#states.set(key, made);
    return made;
  }
}

export interface State {
  /** Ways to go on, each beginning with a leaf. */
  readonly leaves: readonly Cont[];
  /** The answer may end here. */
  readonly accepts: boolean;
  /** Where bytes lead, as far as they were tried; null: nowhere. */
  readonly steps: (State | null | undefined)[];
  end: string | null | undefined;
  /** Set by `Grammar`: tokens that end the answer from here; null: none do. */
  plan: readonly number[] | null | undefined;
  /** Set by `Vocabulary`: which tokens may come. */
  mask: Uint32Array | undefined;
}
