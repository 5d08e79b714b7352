import { isObject } from "../base/strict_json.ts";
import type { Message } from "../text/chat_template.ts";
import type { Value } from "./json_values.ts";
import { exampleOf, type RowOptions, type SftExample } from "./rows.ts";

/** What a dataset trains: answers, preferences between two, which are wanted, or distances between texts. */
export type Kind = "sft" | "preference" | "unpaired" | "triplet";

/** A row of any kind as the data tools look at it. */
export interface AnyRow {
  readonly kind: Kind;
  readonly form: string;
  /** What is asked; undefined where a row is one text, or ids. */
  readonly asked?: string;
  /** What is answered, the last answer of a conversation. */
  readonly answer?: string;
  /** All that makes the row what it is: equal for equal rows. */
  readonly content: string;
  /** Only of rows for supervised training. */
  readonly example?: SftExample;
}

const FIELDS = {
  preference: [["prompt", "chosen", "rejected"], ["prompt_ids", "chosen_ids", "rejected_ids"]],
  unpaired: [["prompt", "completion", "label"], ["prompt_ids", "completion_ids", "label"]],
  triplet: [["anchor", "positive", "negative"], ["anchor_ids", "positive_ids", "negative_ids"]],
} as const;

const NAMES = { preference: "DPO", unpaired: "KTO", triplet: "triplet" } as const;

/** What a row seems to be, by the names of its fields. */
export function kindOf(value: unknown): Kind {
  if (!isObject(value)) return "sft";
  if ("chosen" in value || "rejected" in value || "chosen_ids" in value) return "preference";
  if (typeof value.label === "boolean" && ("completion" in value || "completion_ids" in value)) {
    return "unpaired";
  }
  return "anchor" in value || "anchor_ids" in value ? "triplet" : "sft";
}

/** Reads one value as a row of a dataset of some kind, or says what is wrong with it. */
export function anyRow(
  value: Value,
  index: number,
  kind: Kind,
  options: RowOptions = {},
): AnyRow | { readonly problem: string } {
  if (value.problem !== undefined) return { problem: value.problem };
  if (kind !== "sft") return fixedFields(value.value, index, kind, options);
  const row = exampleOf(value, index, options);
  if ("problem" in row) return row;
  const { form, example } = row;
  if ("prompt" in example) {
    const { prompt: asked, answer } = example;
    return { kind, form, example, asked, answer, content: `${asked}\0${answer}` };
  }
  if ("messages" in example) {
    let asked = "", answer = "";
    for (const message of example.messages) {
      if (message.role === "user") asked += (asked === "" ? "" : "\n") + textOf(message);
      else if (message.role === "assistant") answer = textOf(message);
    }
    return { kind, form, example, asked, answer, content: contentOf(example.messages) };
  }
  const content = "text" in example ? example.text : `${example.ids}\0${example.labels}`;
  return { kind, form, example, content };
}

/** All of a conversation in one text: equal for equal ones. */
export function contentOf(messages: readonly Message[]): string {
  let content = "";
  for (const message of messages) {
    // Seldom there is more than a role and a text.
    const more = typeof message.content !== "string" || message.weight !== undefined ||
      message.tool_calls !== undefined || message.role === "tool";
    content += more ? `${JSON.stringify(message)}\0` : `${message.role}\0${message.content}\0`;
  }
  return content;
}

const textOf = ({ content }: Message): string =>
  typeof content === "string" ? content : JSON.stringify(content ?? "");

function fixedFields(
  value: unknown,
  index: number,
  kind: Exclude<Kind, "sft">,
  { vocabulary = Infinity }: RowOptions,
): AnyRow | { readonly problem: string } {
  if (!isObject(value)) return { problem: "a row must be a JSON object" };
  const [text, ids] = FIELDS[kind];
  const asIds = ids.some((name) => name.endsWith("_ids") && name in value);
  const names: readonly string[] = asIds ? ids : text;
  const missing = names.filter((name) => !(name in value));
  // Where chosen and rejected are whole conversations, they may hold the prompt themselves.
  const implied = kind === "preference" && missing.length === 1 && missing[0] === "prompt" &&
    Array.isArray(value.chosen) && Array.isArray(value.rejected);
  if (missing.length > 0 && !implied) {
    const quote = (list: readonly string[]) => `[${list.map((name) => `'${name}'`).join(", ")}]`;
    return {
      problem: `Invalid ${NAMES[kind]} dataset at index ${index}: missing required fields ${
        quote(missing)
      }. Expected fields: ${quote(names)}, got: ${quote(Object.keys(value))}`,
    };
  }
  const parts: string[] = [];
  for (const name of names) {
    const part = value[name];
    if (part === undefined) {
      parts.push("");
      continue;
    }
    if (name === "label") {
      if (typeof part !== "boolean") return { problem: "label must be true or false" };
      parts.push(String(part));
      continue;
    }
    const problem = asIds ? badIds(part, vocabulary) : badText(part, kind);
    if (problem) return { problem: `${name} ${problem}` };
    parts.push(typeof part === "string" ? part : JSON.stringify(part));
  }
  const [asked, one, other] = parts as [string, string, string];
  if (kind !== "unpaired" && one === other) {
    return { problem: `${names[1]} and ${names[2]} are the same` };
  }
  if (kind === "triplet" && (asked === other)) {
    return { problem: `${names[0]} and ${names[2]} are the same` };
  }
  const form = asIds ? `${kind} ids` : kind;
  const content = JSON.stringify(parts);
  if (asIds) return { kind, form, content };
  // One prompt with several answers, some of them wanted, is what such rows are for.
  if (kind === "unpaired") return { kind, form, answer: one, content };
  return { kind, form, asked, answer: one, content };
}

function badText(value: unknown, kind: Kind): string | undefined {
  if (kind !== "triplet" && Array.isArray(value)) {
    return value.length > 0 && value.every((m) => isObject(m) && typeof m.role === "string")
      ? undefined
      : "must be a text, or a list of messages";
  }
  if (typeof value !== "string") return "must be a text";
  return value.trim() === "" ? "is empty" : undefined;
}

function badIds(value: unknown, vocabulary: number): string | undefined {
  if (!Array.isArray(value) || value.length === 0) return "must be a list of token ids";
  const wrong = value.find((id) => !Number.isSafeInteger(id) || id < 0 || id >= vocabulary);
  return wrong === undefined
    ? undefined
    : `holds ${JSON.stringify(wrong)}, which is no token id${
      vocabulary === Infinity ? "" : ` below ${vocabulary}`
    }`;
}
