import type { Generator } from "../../generate/generator.ts";
import type { PromptLock } from "../../data/prompt_lock.ts";
import type { Grammar } from "../../text/grammar/constraint.ts";
import type { ChatTemplate } from "../../text/chat_template.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import type { AskedAnswers } from "./asked.ts";

/** What form an answer is to have, as its request says. */
export type Wanted = Pick<AskedAnswers, "form" | "free">;

/** A model as clients know it: the base, or the base with an adapter. */
export interface Served {
  readonly name: string;
  /** The name of its base, where it is an adapter. */
  readonly parent?: string;
  readonly tokenizer: Tokenizer;
  /** Undefined: it holds no conversations. */
  readonly template: ChatTemplate | undefined;
  /** Undefined: it only embeds. */
  readonly generator: Generator | undefined;
  /** The longest prompt and answer together, tokens; the longest text, where it only embeds. */
  readonly context: number;
  readonly vocab: number;
  /** Under which prompt it was trained, where that is known. */
  readonly trained?: PromptLock;
  /**
   * Embeddings of texts or ids, in order, and how many tokens they have; undefined: it makes none.
   * @throws ApiError (400) for what it does not take
   */
  readonly embed?: (
    inputs: readonly (string | readonly number[])[],
  ) => Promise<{ readonly vectors: Float32Array[]; readonly tokens: number }>;
}

/** What answers are held to, and what is told of them. */
export interface Answering {
  /** What holds answers to a form; undefined: nothing. @throws Fail (usage) for a form that cannot be kept */
  grammar(wanted: Wanted): Grammar | undefined;
  /** What a choice says beside its text: sections, confidence, action; undefined: nothing was asked for. */
  told(text: string, wanted: Wanted): Readonly<Record<string, unknown>> | undefined;
}
