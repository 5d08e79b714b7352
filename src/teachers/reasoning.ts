import { isObject, type JsonObject } from "../base/strict_json.ts";
import type { AnswerSchema } from "../settings/answer_schema.ts";
import { type CliSchema, findSubcommand } from "../settings/cli_schema.ts";
import type { Item, Task } from "./asking.ts";
import { expand } from "./phrasing.ts";

/** A request with the JSON that answers it, of which the reasons are asked. */
export interface Why extends Item {
  readonly prompt: string;
  readonly answer: unknown;
}

const WORDS =
  `Below are requests, each with the JSON that answers it rightly. For each, write down the \
reasoning that leads from the words of the request to the JSON.

- Two to six short lines, each beginning with "- ".
- Quote the words that matter, say what they show, and why that gives the value.
- Say what the request leaves open, and what is therefore assumed or left out.
- Say what is ambiguous, and which reading was taken.
- No line that only says a field and its value again, no line that only says the request again.
- Never another value than the JSON has. Every chain in words of its own: no sentence that would fit all.
`;

const FORM = `Answer with a JSON array of one object for each request and nothing else:
[{"id": "…", "reasoning": "- …\\n- …"}]
`;

/** Lines that say why, one for each thing that a chain has to say. */
export type Judge = (
  row: { prompt: string; reasoning: string; answer: unknown },
) => string | undefined;

/**
 * Asking a teacher for chains of reasoning.
 * @param judge says what is wrong with a chain, so that it is asked for again
 */
export function reasoningTask(schema: AnswerSchema | undefined, judge: Judge): Task<Why> {
  return {
    noun: "chains",
    prompt(items, faults) {
      const about = schema
        ? `\nWhat answers must fit:\n\n\`\`\`\n${schema.text.trim()}\n\`\`\`\n`
        : "";
      const avoid = faults.length === 0
        ? ""
        : `\nEarlier chains had faults; avoid this:\n${
          faults.map((one) => `- ${one}`).join("\n")
        }\n`;
      const rows = items.map(({ id, prompt, answer }) =>
        JSON.stringify({ id, prompt, json: answer })
      );
      return `${WORDS}${about}${avoid}\nThe requests:\n${rows.join("\n")}\n\n${FORM}`;
    },
    read({ prompt, answer }, given: JsonObject) {
      const text = chainOf(given.reasoning);
      if (text === undefined) return { why: "no reasoning" };
      if (/<\/?(reasoning|intent_ir)>/.test(text)) return { why: "reasoning holds tags" };
      const why = judge({ prompt, reasoning: text, answer });
      return why === undefined ? { text } : { why };
    },
  };
}

/** A chain as lines that begin with "- ", from a text or a list of lines. */
function chainOf(given: unknown): string | undefined {
  const lines = Array.isArray(given) ? given.map(String) : String(given ?? "").split("\n");
  const clean = lines.map((line) => line.trim().replace(/^([-*•]|\d+[.)])\s+/, ""))
    .filter((line) => line !== "");
  return clean.length === 0 ? undefined : clean.map((line) => `- ${line}`).join("\n");
}

/**
 * A chain without a model: which words of the request carry which value of the JSON, and which values no
 * word carries. It is no thought, it is the same few sentences for every row: enough to teach the form of
 * an answer, and to compare a teacher's chains with.
 */
export function templateChain(
  schema: CliSchema | undefined,
  prompt: string,
  answer: unknown,
): string {
  const lines = schema && isObject(answer) && typeof answer.type === "string"
    ? commandLines(schema, prompt, answer)
    : undefined;
  return (lines ?? fieldLines(prompt, answer)).map((line) => `- ${line}`).join("\n");
}

function commandLines(schema: CliSchema, prompt: string, answer: JsonObject): string[] | undefined {
  const [request, context] = split(prompt);
  if (answer.type === "clarification") {
    const suggested = Array.isArray(answer.suggestions)
      ? answer.suggestions.flatMap((one) => isObject(one) ? [String(one.label)] : [])
      : [];
    return [
      suggested.length > 1
        ? `'${request}' could mean ${
          suggested.join(" or ")
        }, and nothing in it decides between them`
        : suggested.length === 1
        ? `'${request}' points to ${suggested[0]}, but something that it needs was not said`
        : `nothing in '${request}' names anything that ${schema.name} does`,
      context
        ? "the context does not settle it either, so a question has to come first"
        : "there is no context that would settle it, so a question has to come first",
    ];
  }
  const { command, subcommand: name } = answer;
  const subcommand = findSubcommand(schema, command, name);
  if (!subcommand) return undefined;
  const args = isObject(answer.args) ? answer.args : {};
  const flags = Array.isArray(answer.flags) ? answer.flags : [];
  const does = subcommand.description.replace(/\.$/, "") || `${command} ${name}`;
  const verb = heard(request, [name as string, ...subcommand.aliases, ...subcommand.phrases]);
  const lines = [
    verb
      ? `'${verb}' asks for ${command} ${name}: ${does.toLowerCase()}`
      : `the request as a whole asks for ${command} ${name}: ${does.toLowerCase()}`,
  ];
  for (const arg of subcommand.args) {
    const shown = arg.name.replaceAll("_", " ");
    if (!Object.hasOwn(args, arg.name)) continue;
    const value = String(args[arg.name]);
    const said = quoted(request, value);
    const pointer = heard(request, arg.pointers);
    lines.push(
      said
        ? `'${said}' gives the ${shown}`
        : pointer && context?.includes(JSON.stringify(args[arg.name]))
        ? `'${pointer}' stands for the ${shown} that the context has, ${value}`
        : context?.includes(value)
        ? `the request leaves the ${shown} to the context, which has ${value}`
        : `no word of the request says the ${shown}; ${value} is inferred`,
    );
  }
  for (const flag of subcommand.flags.filter(({ name }) => flags.includes(name))) {
    const said = heard(request, [...flag.phrases, flag.name, ...flag.aliases]);
    lines.push(
      said ? `'${said}' asks for the flag ${flag.name}` : `the flag ${flag.name} is implied`,
    );
  }
  const open = subcommand.args.filter(({ name }) => !Object.hasOwn(args, name))
    .map(({ name }) => name.replaceAll("_", " "));
  if (open.length > 0) lines.push(`nothing is said about ${open.join(", ")}, so it is left out`);
  return lines;
}

function fieldLines(prompt: string, answer: unknown): string[] {
  const lines: string[] = [], assumed: string[] = [];
  const visit = (value: unknown, name: string) => {
    if (/confidence|score/.test(name)) return;
    if (isObject(value)) {
      for (const [key, inner] of Object.entries(value)) visit(inner, key);
    } else if (typeof value === "string" || typeof value === "number") {
      const shown = name.replaceAll("_", " ");
      const said = quoted(prompt, String(value)) ??
        quoted(prompt, String(value).replaceAll("_", " "));
      if (said) lines.push(`'${said}' in the request gives the ${shown}`);
      else assumed.push(`${shown} (${String(value).replaceAll("_", " ").slice(0, 60)})`);
    }
  };
  visit(answer, "answer");
  if (assumed.length > 0) {
    lines.push(
      `no word of '${prompt.slice(0, 120)}' says these, so they are assumed: ${assumed.join(", ")}`,
    );
  }
  return lines.length > 0
    ? lines
    : [`nothing in '${prompt.slice(0, 120)}' gives a value of its own`];
}

/** The request and the context behind it. */
function split(prompt: string): [request: string, context: string | undefined] {
  const at = prompt.indexOf("\n{");
  return at < 0 ? [prompt, undefined] : [prompt.slice(0, at), prompt.slice(at + 1)];
}

/** The words of a text that are one of these phrases, or the longest part of one between its slots. */
function heard(text: string, phrases: readonly string[]): string | undefined {
  const parts = phrases.flatMap(expand).flatMap((phrase) => phrase.split(/\{[^{}]*\}|"/))
    .map((part) => part.trim().replace(/\s+/g, " ")).filter((part) => part.length > 2);
  return parts.flatMap((part) => quoted(text, part) ?? []).sort((a, b) => b.length - a.length)[0];
}

/** A part of a text as it stands there, at the edges of words. */
function quoted(text: string, part: string): string | undefined {
  if (part === "") return undefined;
  const at = text.toLowerCase().indexOf(part.toLowerCase());
  if (at < 0) return undefined;
  const inner = /[\p{L}\p{N}]/u;
  const before = text[at - 1] ?? " ", after = text[at + part.length] ?? " ";
  return inner.test(before) || inner.test(after) ? undefined : text.slice(at, at + part.length);
}
