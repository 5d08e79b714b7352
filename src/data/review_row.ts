/** A row as a person reviews it: what a model would see, what is wrong with it, and a form to edit. */
import { isObject, JsonError, parseJson } from "../base/strict_json.ts";
import type { AnyRow } from "./kinds.ts";
import { anyRow, kindOf } from "./kinds.ts";

export interface SeenRow {
  /** What the model sees, in order. */
  readonly parts: readonly { readonly role: string; readonly text: string }[];
  /** Why it could not be trained; empty where it could. */
  readonly problems: readonly string[];
}

/** What a schema finds wrong with a row that could otherwise be trained. */
export type SchemaCheck = (row: AnyRow, text: string) => string | undefined;

/** @param text one JSON object */
export function seenRow(text: string, check?: SchemaCheck): SeenRow {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const at = `not valid JSON at byte ${error.offset + 1}: ${error.message}`;
    return { parts: [{ role: "row", text }], problems: [at] };
  }
  const row = anyRow({ line: 1, text, value }, 0, kindOf(value));
  if ("problem" in row) return { parts: fieldsOf(value), problems: [row.problem] };
  const wrong = check?.(row, text);
  return { parts: partsOf(row, value), problems: wrong === undefined ? [] : [wrong] };
}

function partsOf({ kind, example }: AnyRow, value: unknown): SeenRow["parts"] {
  if (kind !== "sft" || !example) return fieldsOf(value);
  if ("messages" in example) {
    return example.messages.map(({ role, content, tool_calls }) => ({
      role,
      text: typeof content === "string" ? content : JSON.stringify(content ?? tool_calls),
    }));
  }
  if ("prompt" in example) {
    return [{ role: "user", text: example.prompt }, { role: "assistant", text: example.answer }];
  }
  return "text" in example ? [{ role: "text", text: example.text }] : fieldsOf(value);
}

function fieldsOf(value: unknown): SeenRow["parts"] {
  if (!isObject(value)) return [{ role: "row", text: JSON.stringify(value) }];
  return Object.entries(value).map(([role, inner]) => ({
    role,
    text: typeof inner === "string" ? inner : JSON.stringify(inner),
  }));
}

/**
 * A row laid out for an editor: indented, and where a text is itself a JSON object (most answers are),
 * that object instead of a text full of backslashes.
 */
export function unfolded(text: string): string {
  const row = JSON.parse(text) as Record<string, unknown>;
  const open = Object.entries(row).map(([key, value]) => [key, objectIn(value) ?? value]);
  return JSON.stringify(Object.fromEntries(open), null, 2);
}

/**
 * The row that an edited text means: on one line, objects that were texts made texts again.
 * @throws JsonError where it is no JSON
 */
export function folded(edited: string, original: string): string {
  const was = JSON.parse(original) as Record<string, unknown>;
  const now = parseJson(edited);
  if (!isObject(now)) throw new JsonError("a row is one JSON object", 0);
  return JSON.stringify(Object.fromEntries(
    Object.entries(now).map(([key, value]) => [
      key,
      typeof value === "object" && value !== null && objectIn(was[key])
        ? JSON.stringify(value)
        : value,
    ]),
  ));
}

function objectIn(value: unknown): object | undefined {
  if (typeof value !== "string" || !/^\s*[{[]/.test(value)) return undefined;
  try {
    const inner: unknown = JSON.parse(value);
    return typeof inner === "object" && inner !== null ? inner : undefined;
  } catch {
    return undefined;
  }
}
