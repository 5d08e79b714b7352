import type { Tokenizer } from "./tokenizer.ts";

/** What common templates begin and end turns with. */
const MARKS = /<\/?s>|<(?:bos|eos)>|<(?:start|end)_of_turn>|<\|\w+\|>/g;

/**
 * Begin and end marks that a text spells out and the tokenizer has no single token for, such as </s> where
 * the end token is <|endoftext|>. A model learns them as plain text, and stops at none of them.
 */
export function spelledMarks(text: string, tokenizer: Pick<Tokenizer, "encode">): string[] {
  return [...new Set(text.match(MARKS))]
    .filter((mark) => tokenizer.encode(mark, { special: false }).length > 1);
}
