import { isObject } from "../../base/strict_json.ts";
import type { Value } from "../../data/json_values.ts";
import { exampleOf, requestText, type RowOptions, type SftExample } from "../../data/rows.ts";
import type { Message } from "../../text/chat_template.ts";
import type { Prompt } from "../../text/prompt.ts";

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

/** A question that may have no answer yet, and where it stood. */
export interface Asked extends Omit<Question, "expected"> {
  readonly line: number;
  readonly expected?: string;
  /** The span of a trace that it came from. */
  readonly span?: string;
}

/**
 * The question of a row of any form of training data, and of one without an answer: {"prompt"},
 * {"messages"} that end with the user, {"instruction","context"}.
 */
export function askedOf(
  value: Value,
  index: number,
  options: RowOptions = {},
): Asked | { readonly problem: string } {
  if (value.problem !== undefined) return { problem: value.problem };
  if (!isObject(value.value)) return { problem: "a row must be a JSON object" };
  const row = value.value, { line } = value;
  const about = isObject(row.metadata) ? row.metadata.span_id : row.span_id;
  const span = typeof about === "string" ? { span: about } : {};
  const open = openQuestion(row, options);
  if (open) return { line, ...open, ...span };
  const read = exampleOf(value, index, options);
  if ("problem" in read) return read;
  const question = questionOf(read.example);
  return question ? { line, ...question, ...span } : { problem: "the row asks nothing" };
}

/** A row that only asks. */
function openQuestion(
  row: Readonly<Record<string, unknown>>,
  { map }: RowOptions,
): Omit<Question, "expected"> | undefined {
  const { messages, instruction, context } = row;
  const prompt = row[map?.prompt ?? "prompt"];
  const answered = [map?.response ?? "completion", "response", "output", "answer", "chosen"]
    .some((key) => row[key] !== undefined && row[key] !== null);
  if (answered) return undefined;
  if (typeof prompt === "string" && prompt.trim() !== "") {
    return { prompt: { prompt }, shown: prompt };
  }
  if (Array.isArray(messages)) {
    const turns = messages as readonly Message[];
    const last = turns.at(-1);
    if (last?.role !== "user" || typeof last.content !== "string") return undefined;
    return { prompt: { messages: turns }, shown: last.content };
  }
  if (typeof instruction !== "string" || instruction.trim() === "") return undefined;
  const content = requestText(instruction, context);
  return { prompt: { messages: [{ role: "user", content }] }, shown: content };
}
