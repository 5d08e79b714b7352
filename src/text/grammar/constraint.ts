import { Exit, Fail } from "../../base/fail.ts";
import { Automaton, type State } from "./automaton.ts";
import { literal, type Node, sequence, until } from "./nodes.ts";
import type { Tokens } from "./vocabulary.ts";
import { Vocabulary } from "./vocabulary.ts";

/** What answers must be, for one vocabulary; shared by all requests, for what was tried once is known. */
export class Grammar {
  readonly #automaton: Automaton;
  readonly #bytes: (id: number) => Uint8Array | undefined;

  /** @param vocabulary of the same tokens */
  constructor(
    root: Node,
    tokens: Tokens,
    readonly vocabulary: Vocabulary = new Vocabulary(tokens),
  ) {
    this.#automaton = new Automaton(root);
    this.#bytes = (id) => tokens.bytesOf(id);
    if (this.vocabulary.eosIds.length === 0) {
      throw new Fail("this model has no token that ends an answer", {
        why: "a constrained answer ends with one",
        fix: "tokenizer_config.json or generation_config.json must name an EOS token",
        exit: Exit.data,
      });
    }
  }

  /**
   * Begins an answer of at most `most` tokens, the one that ends it included.
   * @throws Fail (usage) where no answer is as short
   */
  begin(most: number): Constraint {
    const needed = this.ending(this.#automaton.start)?.length ?? Infinity;
    if (needed <= most) return new Constraint(this, this.#automaton.start, most);
    throw new Fail(
      Number.isFinite(needed)
        ? `an answer that fits the schema has at least ${needed} tokens, --max-tokens allows ${most}`
        : "no answer of this model can fit the schema",
      {
        why: Number.isFinite(needed)
          ? "a constrained answer is always finished"
          : "the schema asks for characters that the vocabulary has no token for, or for endless JSON",
        fix: Number.isFinite(needed) ? `--max-tokens ${4 * needed}` : "correct the schema",
        exit: Exit.usage,
      },
    );
  }

  mask(state: State): Uint32Array {
    return this.vocabulary.mask(this.#automaton, state);
  }

  /** The state after a token; undefined where it does not fit. */
  after(state: State, id: number): State | undefined {
    let at: State | undefined = state;
    const bytes = this.#bytes(id);
    if (!bytes) return undefined;
    for (const byte of bytes) {
      at = this.#automaton.step(at, byte);
      if (!at) return undefined;
    }
    return at;
  }

  /** The shortest way to end an answer, as tokens with the one that ends it. */
  ending(state: State): readonly number[] | undefined {
    if (state.plan !== undefined) return state.plan ?? undefined;
    const text = this.#automaton.ending(state);
    const ids = text === undefined ? undefined : this.vocabulary.greedy(text);
    state.plan = ids ? [...ids, this.vocabulary.eosIds[0]!] : null;
    return state.plan ?? undefined;
  }
}

/**
 * One answer under way. What it admits can always be finished within the tokens that are left, so an
 * answer is whole however it was sampled.
 */
export class Constraint {
  #state: State;
  /** Tokens that finish the answer from here; never more than are left. */
  #plan: readonly number[];
  #left: number;
  #done = false;

  constructor(readonly grammar: Grammar, state: State, most: number) {
    this.#state = state;
    this.#plan = grammar.ending(state)!;
    this.#left = most;
  }

  /** Which tokens may come, a bit each; not to be written to. */
  mask(): Uint32Array {
    return this.grammar.mask(this.#state);
  }

  /**
   * Takes the token that was drawn under the mask, or in its place one that leads to the end where the
   * answer could not be finished after it.
   * @returns the token that the answer has
   */
  take(drawn: number): number {
    if (this.#done) throw new Error("the answer has ended");
    const { grammar } = this, { eosIds } = grammar.vocabulary;
    this.#left--;
    if (eosIds.includes(drawn) && this.#state.accepts) {
      this.#done = true;
      return drawn;
    }
    const after = eosIds.includes(drawn) ? undefined : grammar.after(this.#state, drawn);
    const plan = after && grammar.ending(after);
    if (after && plan && plan.length <= this.#left) {
      this.#state = after;
      this.#plan = plan;
      return drawn;
    }
    const [id, ...rest] = this.#plan as [number, ...number[]];
    this.#plan = rest;
    if (rest.length === 0) this.#done = true;
    else this.#state = grammar.after(this.#state, id)!;
    return id;
  }

  get done(): boolean {
    return this.#done;
  }
}

/** Sections: free text between each pair of tags but the last, which holds `last`. */
export function inSections(tags: readonly string[], last: Node): Node {
  const parts = tags.flatMap((tag, i) => {
    const open = literal(`${i > 0 ? "\n\n" : ""}<${tag}>\n`);
    return i < tags.length - 1
      ? [open, until(`\n</${tag}>`)]
      : [open, last, literal(`\n</${tag}>`)];
  });
  return sequence(parts);
}
