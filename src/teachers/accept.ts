import { isObject, parseJson } from "../base/strict_json.ts";
import { excerpt } from "../base/text.ts";
import type { AnswerSchema } from "../settings/answer_schema.ts";
import { type CliSchema, findSubcommand } from "../settings/cli_schema.ts";
import type { Context } from "./template.ts";
import { type Case, NEGATIVE, type Row } from "./teacher.ts";

/** Why a row was not taken. */
export interface Refused {
  readonly why: string;
  readonly text: string;
}

/** Below this a router asks back instead of acting, so that answers and confidences must agree. */
const ACT = 0.7;

/** Longest request, characters. */
const LONGEST = 4000;

/**
 * The objects of an answer, one text each: of a JSON array, with or without talk and fences around it, or
 * one a line. An object that the answer's end cuts off is left out.
 */
export function objectsIn(text: string): string[] {
  const found: string[] = [];
  let depth = 0, start = 0, quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c === "\\") i++;
      else if (c === '"') quoted = false;
    } else if (c === '"' && depth > 0) quoted = true;
    else if (c === "{") {
      if (depth++ === 0) start = i;
    } else if (c === "}" && depth > 0 && --depth === 0) found.push(text.slice(start, i + 1));
  }
  return found;
}

/** The same words count as the same request, however they are written. */
export function requestKey(instruction: string, context: unknown): string {
  const words = instruction.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();
  return JSON.stringify([words || instruction, context ?? null]);
}

/** Reads one row of an answer. @returns the row, or what is wrong with it */
export function readRow(schema: AnswerSchema, text: string, teacher: string): Row | Refused {
  const no = (why: string): Refused => ({ why, text: excerpt(text, 160) });
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    return no(`not valid JSON: ${error instanceof Error ? error.message : error}`);
  }
  if (!isObject(value)) return no("not an object");
  const instruction = value.input ?? value.instruction;
  if (typeof instruction !== "string" || instruction.trim() === "") return no("no input");
  if (instruction.length > LONGEST) return no(`input is longer than ${LONGEST} characters`);
  const context = value.context ?? null;
  const odd = contextProblem(schema.cli, context);
  if (odd) return no(odd);
  let answer: unknown = value.output;
  if (typeof answer === "string") {
    try {
      answer = parseJson(answer);
    } catch {
      // A schema may also allow plain texts: the name of an agent.
      if (schema.problems(answer).length > 0) return no("output is not valid JSON");
    }
  }
  const problems = schema.problems(plain(answer));
  if (problems.length > 0) return no(problems.join("; "));
  const unsure = schema.cli && confidenceProblem(answer as Answer);
  if (unsure) return no(unsure);
  const empty = isObject(context) && Object.keys(context).length === 0;
  const row = {
    instruction: instruction.trim(),
    context: empty ? null : context as Context | null,
  };
  return {
    ...row,
    output: typeof answer === "string" ? answer : compactAnswer(schema, answer as object),
    metadata: { case: caseOf(schema, row.context, answer, value.case), teacher },
  };
}

interface Answer {
  readonly type: "command" | "clarification";
  readonly confidence: number;
  readonly [key: string]: unknown;
}

/** Objects of the strict reader have no prototype, which not every validator expects. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

function confidenceProblem({ type, confidence }: Answer): string | undefined {
  if (type === "command" && confidence < ACT) {
    return `a command with confidence ${confidence}: below ${ACT} a clarification is due`;
  }
  if (type === "clarification" && confidence >= ACT) {
    return `a clarification with confidence ${confidence}: from ${ACT} on a command is due`;
  }
  return undefined;
}

/** An answer that fits its schema, as rows have it: compact, keys of a command line's in one order. */
export function compactAnswer(schema: AnswerSchema | undefined, answer: object): string {
  return JSON.stringify(schema?.cli ? ordered(schema.cli, answer as Answer) : answer);
}

/** Keys in one order, so that equal answers are equal texts; arguments in the schema's order. */
function ordered(schema: CliSchema, answer: Answer): unknown {
  const { type, confidence } = answer;
  if (type === "clarification") {
    const suggestions = (answer.suggestions as Record<string, unknown>[]).map((
      { label, command, subcommand },
    ) => ({ label, command, subcommand }));
    return { type, message: answer.message, suggestions, confidence };
  }
  const { command, subcommand } = answer;
  const args = (answer.args ?? {}) as Record<string, unknown>;
  const known = findSubcommand(schema, command, subcommand)!.args.map(({ name }) => name);
  const given = known.filter((name) => Object.hasOwn(args, name));
  return {
    type,
    command,
    subcommand,
    args: Object.fromEntries(given.map((name) => [name, args[name]])),
    flags: answer.flags ?? [],
    confidence,
  };
}

function leaves(value: unknown, path = ""): string[] {
  if (!isObject(value)) return [path];
  return Object.entries(value).flatMap(([key, inner]) =>
    leaves(inner, path === "" ? key : `${path}.${key}`)
  );
}

function contextProblem(schema: CliSchema | undefined, context: unknown): string | undefined {
  if (context === null || !schema && typeof context === "string") return undefined;
  if (!isObject(context)) return "context must be an object or null";
  if (!schema) return undefined;
  const known = schema.context.map(({ name }) => name);
  const unknown = leaves(context).find((path) => path !== "" && !known.includes(path));
  return unknown && `the schema has no context field "${unknown}"`;
}

function caseOf(schema: AnswerSchema, context: unknown, answer: unknown, told: unknown): Case {
  if (!schema.cli) return "answer";
  if ((answer as Answer).type === "clarification") {
    return NEGATIVE.find((name) => name === told) ?? "unclear_intent";
  }
  if (context === null) return "no_context";
  return leaves(context).length >= schema.cli.context.length ? "full_context" : "partial_context";
}
