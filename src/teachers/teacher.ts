import type { Context } from "./template.ts";

/** The six reasons why a request cannot be carried out as it stands. */
export const NEGATIVE = [
  "ambiguous_command",
  "missing_argument",
  "unclear_intent",
  "off_topic",
  "multiple_interpretations",
  "ambiguous_typo",
] as const;

/** What a row shows. "answer" is any row of a JSON Schema. */
export type Case =
  | "full_context"
  | "partial_context"
  | "no_context"
  | (typeof NEGATIVE)[number]
  | "answer";

/** A row that fits its schema. */
export interface Row {
  readonly instruction: string;
  readonly context: Context | string | null;
  /** The answer: compact JSON with keys in a fixed order. */
  readonly output: string;
  readonly metadata: { readonly case: Case; readonly teacher: string };
}

/** What is asked once. */
export interface Call {
  /** Numbered from 1 over the whole work, restarts included. */
  readonly call: number;
  /** The request in words. */
  readonly prompt: string;
}

/** The same for rows of a schema, so that a teacher without a model can answer too. */
export interface Batch extends Call {
  readonly rows: number;
  readonly wanted: readonly { readonly case: Case; readonly count: number }[];
  /** Whether the same request is there already. */
  has(instruction: string, context: unknown): boolean;
}

export interface Reply {
  /** A JSON array of what was asked for, perhaps with talk around it, perhaps cut. */
  readonly text: string;
  /** Tokens that were counted by whoever counts the money; unset where nobody said. */
  readonly usage?: { readonly input: number; readonly output: number };
}

/** Where generated text comes from: from any request in words, or from what a `Batch` says. */
export interface Teacher<Asked extends Call = Batch> {
  /** As rows name it: "template", "anthropic:MODEL". */
  readonly name: string;
  /** Whether a call costs money, so that budgets and retries have a meaning. */
  readonly paid: boolean;
  /**
   * Makes one call, once.
   * @param maxTokens longest answer
   * @throws TryAgain where the same call may succeed later; Fail where it will not
   */
  ask(asked: Asked, maxTokens: number, signal: AbortSignal): Promise<Reply>;
}

/** A call that did not work this time. */
export class TryAgain extends Error {
  override readonly name = "TryAgain";
  constructor(
    message: string,
    /** Milliseconds to wait that the server asked for. */
    readonly after?: number,
    /** The call may have been carried out and charged all the same. */
    readonly charged = false,
  ) {
    super(message);
  }
}
