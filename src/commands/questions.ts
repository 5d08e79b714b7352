import type { SftExample } from "../data/rows.ts";
import type { Prompt } from "../text/prompt.ts";

/** A row as a question: what is asked, how a person reads it, and the answer the row has. */
export interface Question {
  readonly prompt: Prompt;
  readonly shown: string;
  readonly expected: string;
}

/** The question of a row, the last turn of a conversation; none in rows of plain text or ids. */
export function questionOf(example: SftExample): Question | undefined {
  if ("prompt" in example) {
    return { prompt: { prompt: example.prompt }, shown: example.prompt, expected: example.answer };
  }
  if (!("messages" in example)) return undefined;
  const last = example.messages.findLastIndex((m) => m.role === "assistant");
  const before = example.messages.slice(0, last);
  const expected = example.messages[last]?.content;
  if (before.length === 0 || typeof expected !== "string") return undefined;
  const shown = String(before.findLast((m) => m.role === "user")?.content ?? "");
  return { prompt: { messages: before }, shown, expected };
}
