import type { Message } from "../../text/chat_template.ts";
import { at, jsonIn, listOf, nameAt, textOf } from "./tree.ts";

/** What was asked in a span: a conversation, or one text. */
export interface Asked {
  readonly messages?: readonly Message[];
  /** The text, or the last thing the user said. */
  readonly text: string;
}

/** What was answered. */
export interface Answered {
  readonly text?: string;
  /** Calls of tools, where there are such. */
  readonly calls?: readonly unknown[];
}

/** Keys under which a request is found in a JSON object, in this order. */
const REQUEST = ["messages", "query", "input", "question", "request", "prompt", "text"];

const ROLES: Readonly<Record<string, string>> = {
  human: "user",
  ai: "assistant",
  model: "assistant",
  function: "tool",
};

/** What was asked, at the first of these paths that holds something. */
export function askedAt(attributes: unknown, paths: readonly string[]): Asked | undefined {
  for (const path of paths) {
    const asked = askedIn(at(attributes, path));
    if (asked) return asked;
  }
}

function askedIn(value: unknown): Asked | undefined {
  const inside = typeof value === "string" ? jsonIn(value) ?? value : value;
  if (typeof inside === "string") return inside.trim() === "" ? undefined : { text: inside };
  if (typeof inside !== "object" || inside === null) return undefined;
  const list = listOf(inside);
  if (list) {
    const messages = messagesOf(list);
    const last = messages?.findLast(({ role }) => role === "user")?.content;
    if (messages && typeof last === "string" && last.trim() !== "") return { messages, text: last };
    const prompts = list.map((one) =>
      textOf(at(one, "prompt.text") ?? (typeof one === "string" ? one : undefined))
    );
    if (prompts.length === 1 && prompts[0] !== undefined) return { text: prompts[0] };
  }
  const template = at(inside, "template");
  if (typeof template === "string") return { text: filled(template, at(inside, "variables")) };
  for (const key of REQUEST) {
    const asked = askedIn(at(inside, key));
    if (asked) return asked;
  }
  const whole = typeof value === "string" ? value : undefined;
  return whole === undefined || whole.trim() === "" ? undefined : { text: whole };
}

/** A template with its variables put in: {name} and {{name}}. */
function filled(template: string, variables: unknown): string {
  const known = typeof variables === "string" ? jsonIn(variables) : variables;
  return template.replace(
    /\{\{?\s*(\w+)\s*\}?\}/g,
    (whole, name: string) => textOf(at(known, name)) ?? whole,
  );
}

/** OpenInference messages as those of a conversation; undefined where they are no such thing. */
function messagesOf(list: readonly unknown[]): readonly Message[] | undefined {
  const messages: Message[] = [];
  for (const one of list) {
    const tree = at(one, "message") ?? one;
    const role = nameAt(tree, "role")?.toLowerCase();
    if (role === undefined) return undefined;
    const content = contentOf(tree), tool_calls = callsOf(tree);
    if (content === undefined && tool_calls === undefined) return undefined;
    const id = nameAt(tree, "tool_call_id");
    messages.push({
      role: ROLES[role] ?? role,
      content: content ?? "",
      ...(tool_calls ? { tool_calls } : {}),
      ...(id === undefined ? {} : { tool_call_id: id }),
    });
  }
  return messages.length > 0 ? messages : undefined;
}

/** The text of a message; undefined where it is empty or holds more than text. */
function contentOf(tree: unknown): string | undefined {
  const content = at(tree, "content");
  if (typeof content === "string") return content === "" ? undefined : content;
  const parts = listOf(at(tree, "contents") ?? content);
  const texts = parts?.map((part) => {
    const inner = at(part, "message_content") ?? part;
    return typeof inner === "string" ? inner : nameAt(inner, "text");
  });
  return texts?.every((text) => text !== undefined) ? texts.join("\n") || undefined : undefined;
}

function callsOf(tree: unknown): readonly unknown[] | undefined {
  const calls = listOf(at(tree, "tool_calls"))?.flatMap((one) => {
    const call = at(one, "tool_call") ?? one;
    const name = nameAt(call, "function.name");
    const given = at(call, "function.arguments");
    if (name === undefined) return [];
    const parsed = typeof given === "string" ? jsonIn(given) ?? given : given ?? {};
    const id = nameAt(call, "id");
    return [{
      ...(id === undefined ? {} : { id }),
      type: "function",
      function: { name, arguments: parsed },
    }];
  });
  return calls?.length ? calls : undefined;
}

/** What was answered, at the first of these paths that holds something. */
export function answeredAt(
  attributes: unknown,
  paths: readonly string[],
): Answered | undefined {
  for (const path of paths) {
    const value = at(attributes, path);
    const list = listOf(typeof value === "string" ? undefined : value);
    const messages = list && messagesOf(list);
    if (messages) {
      const { content, tool_calls } = messages.at(-1)!;
      const text = typeof content === "string" ? textOf(content) : undefined;
      if (text !== undefined || tool_calls) {
        return { text, calls: tool_calls as readonly unknown[] | undefined };
      }
      continue;
    }
    if (path === "llm.output_messages") continue;
    const text = textOf(value);
    if (text !== undefined) return { text };
  }
}
