import { createReadStream } from "node:fs";
import { Exit, Fail } from "../base/fail.ts";
import { isObject } from "../base/strict_json.ts";
import { excerpt } from "../base/text.ts";
import type { Message } from "../text/chat_template.ts";
import type { Example } from "../text/prompt.ts";
import { jsonValues, type Value } from "./json_values.ts";

/** A row of a supervised dataset: text for the tokenizer, or exact ids (labels −100 = not trained). */
export type SftExample =
  & { readonly line: number }
  & (Example | { readonly ids: readonly number[]; readonly labels: readonly number[] });

export type RowForm =
  | "ids"
  | "messages"
  | "conversations"
  | "prompt_completion"
  | "prompt_response"
  | "alpaca"
  | "clitron"
  | "raw"
  | "cot"
  | "text"
  | "mapped";

export interface RowOptions {
  /** Which fields hold the prompt and the answer, instead of finding out by their names. */
  readonly map?: { readonly prompt: string; readonly response: string };
  /** Spaces of indentation for an answer that is an object; 0 writes it on one line. */
  readonly jsonIndent?: number;
  /** The one system message of all conversations, in place of their own. */
  readonly system?: string;
  /** Size of the model's vocabulary, against which ids are checked. */
  readonly vocabulary?: number;
  /** Passes over broken rows, as long as they are no more than one in a hundred. */
  readonly skipBad?: boolean;
}

export interface BadRow {
  readonly line: number;
  readonly reason: string;
  readonly text: string;
}

export interface Dataset {
  readonly examples: readonly SftExample[];
  /** How many rows had which form. */
  readonly forms: Readonly<Partial<Record<RowForm, number>>>;
  /** What was passed over with `skipBad`. */
  readonly rejected: readonly BadRow[];
}

export const EMPTY_DATASET =
  "Cannot train with empty dataset. No training examples available after formatting.";

const SHOWN = 20;
const MOST_REJECTED = 0.01;

/**
 * Reads a dataset from a JSONL file, a JSON array, or standard input ("-").
 * @throws Fail (exit 3) naming every broken row with its line, at most 20 of them; or for no rows
 */
export async function readDataset(path: string, options: RowOptions = {}): Promise<Dataset> {
  return await collectRows(byteStream(path), path === "-" ? "standard input" : path, options);
}

/** The same from a byte stream; `name` stands in errors. */
export async function collectRows(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  options: RowOptions = {},
): Promise<Dataset> {
  const form = 'give one JSON object a line, such as {"prompt": "…", "completion": "…"}';
  const { rows, ...rest } = await collect(chunks, name, options, readRow, form);
  return { examples: rows.map(({ line, example }) => ({ line, ...example })), ...rest };
}

/** Reads every row of a file or of standard input with `read`, which calls `refuse` for what it cannot use. */
export async function collectFile<Form extends string, Example>(
  path: string,
  options: RowOptions,
  read: Reader<Form, Example>,
  form: string,
) {
  const name = path === "-" ? "standard input" : path;
  return await collect(byteStream(path), name, options, read, form);
}

/** Makes a row's value an example, and says what form it had. */
export type Reader<Form extends string, Example> = (
  value: Value,
  index: number,
  options: RowOptions,
) => { readonly form: Form; readonly example: Example };

async function collect<Form extends string, Example>(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  options: RowOptions,
  read: Reader<Form, Example>,
  fix: string,
) {
  const rows: { readonly line: number; readonly example: Example }[] = [];
  const rejected: BadRow[] = [];
  const forms: Partial<Record<Form, number>> = {};
  let index = 0;
  for await (const value of jsonValues(chunks)) {
    try {
      const { form, example } = read(value, index++, options);
      forms[form] = (forms[form] ?? 0) + 1;
      rows.push({ line: value.line, example });
    } catch (error) {
      if (!(error instanceof BadRowError)) throw error;
      rejected.push({ line: value.line, reason: error.message, text: value.text });
    }
  }
  const all = rows.length + rejected.length;
  const tolerated = options.skipBad === true && rejected.length <= MOST_REJECTED * all;
  if (rejected.length > 0 && !tolerated) {
    throw badRows(
      name,
      rejected,
      all,
      options.skipBad
        ? "correct the rows: more than 1 % of them is too much to pass over"
        : "correct the rows named above, or pass over a few with --skip-bad",
    );
  }
  if (rows.length === 0) {
    throw new Fail(EMPTY_DATASET, { why: `${name} holds no rows`, fix, exit: Exit.data });
  }
  return { rows, forms, rejected };
}

/** What one value of a dataset says, or what is wrong with it. `index` counts values from 0. */
export function exampleOf(
  value: Value,
  index: number,
  options: RowOptions = {},
): { readonly form: RowForm; readonly example: SftExample } | { readonly problem: string } {
  try {
    const { form, example } = readRow(value, index, options);
    return { form, example: { line: value.line, ...example } };
  } catch (error) {
    if (error instanceof BadRowError) return { problem: error.message };
    throw error;
  }
}

/** One error for all broken rows of a dataset. */
export function badRows(
  name: string,
  bad: readonly BadRow[],
  all: number,
  fix: string,
): Fail {
  const lines = bad.slice(0, SHOWN).map(({ line, reason, text }) =>
    `line ${line}: ${reason}: ${excerpt(text, 60)}`
  );
  if (bad.length > SHOWN) lines.push(`and ${bad.length - SHOWN} more`);
  return new Fail(`${bad.length} of ${all} rows of ${name} cannot be used`, {
    why: lines.join("\n"),
    fix,
    exit: Exit.data,
  });
}

class BadRowError extends Error {}

/** Gives a row up, with the reason. */
export function refuse(reason: string): never {
  throw new BadRowError(reason);
}

export type Row = { readonly [key: string]: unknown };
export type Body = Example | { readonly ids: number[]; readonly labels: number[] };

/** Forms by the fields they need, the most telling first. */
const FORMS: readonly {
  readonly form: RowForm;
  readonly needs: readonly string[];
  readonly read: (row: Row, options: RowOptions) => Body;
}[] = [
  { form: "ids", needs: ["input_ids", "labels"], read: fromIds },
  { form: "messages", needs: ["messages"], read: (row) => conversation(list(row, "messages")) },
  {
    form: "conversations",
    needs: ["conversations"],
    read: (row) => conversation(systemFirst(row, list(row, "conversations").map(fromShareGpt))),
  },
  { form: "raw", needs: ["query", "data"], read: asked("query", "data") },
  { form: "cot", needs: ["gtm_prompt", "intent_ir"], read: asked("gtm_prompt", "intent_ir") },
  { form: "cot", needs: ["prompt", "reasoning", "response"], read: promptReasoned },
  { form: "prompt_completion", needs: ["prompt", "completion"], read: promptAnd("completion") },
  { form: "prompt_response", needs: ["prompt", "response"], read: promptAnd("response") },
  { form: "clitron", needs: ["instruction", "context", "output"], read: fromClitron },
  { form: "alpaca", needs: ["instruction", "output"], read: fromAlpaca },
  { form: "text", needs: ["text"], read: (row) => ({ text: filled(row, "text") }) },
];

function readRow(
  { value, problem }: Value,
  index: number,
  options: RowOptions,
): { form: RowForm; example: Body } {
  if (problem !== undefined) refuse(problem);
  if (!isObject(value)) refuse(`a row must be a JSON object, got ${kindOf(value)}`);
  const { map } = options;
  if (map) {
    requireFields(value, [map.prompt, map.response], index);
    return { form: "mapped", example: promptAnd(map.response, map.prompt)(value, options) };
  }
  const found = FORMS.find(({ needs }) => needs.every((key) => key in value));
  if (found) return { form: found.form, example: underSystem(found.read(value, options), options) };
  const has = (needs: readonly string[]) =>
    needs.filter((key) => key in value).length / needs.length;
  const [nearest] = FORMS.toSorted((a, b) => has(b.needs) - has(a.needs));
  if (has(nearest!.needs) > 0) requireFields(value, nearest!.needs, index);
  refuse(
    "no form of row has these fields: expected prompt and completion, messages, conversations, " +
      `instruction and output, text, or input_ids and labels; got ${quoted(Object.keys(value))}`,
  );
}

/** A conversation under the one system message of all; other rows have no place for one. */
function underSystem(body: Body, { system }: RowOptions): Body {
  if (system === undefined) return body;
  if (!("messages" in body)) {
    return refuse(
      "a system message needs a conversation, and this row is none: " +
        "whet data convert --to messages makes it one",
    );
  }
  const { messages: [first, ...rest] } = body;
  const talk = first!.role === "system" ? rest : [first!, ...rest];
  return { messages: [{ role: "system", content: system }, ...talk] };
}

export function requireFields(row: Row, needs: readonly string[], index: number, what = "dataset") {
  const missing = needs.filter((key) => !(key in row));
  if (missing.length === 0) return;
  refuse(
    `Invalid ${what} at index ${index}: missing required fields ${quoted(missing)}. ` +
      `Expected fields: ${quoted(needs)}, got: ${quoted(Object.keys(row))}`,
  );
}

function fromIds(row: Row, { vocabulary = Infinity }: RowOptions): Body {
  const ids = idList(row, "input_ids", (id) => id >= 0 && id < vocabulary, vocabulary);
  const labels = idList(
    row,
    "labels",
    (id) => id === -100 || (id >= 0 && id < vocabulary),
    vocabulary,
  );
  if (labels.length !== ids.length) {
    refuse(
      `labels has ${labels.length} entries, input_ids has ${ids.length}: they must be as many`,
    );
  }
  // The first token is predicted from nothing, so its label never counts.
  if (!labels.some((label, i) => i > 0 && label !== -100)) {
    refuse("no token is trained: every label (but the first, which nothing predicts) is -100");
  }
  return { ids, labels };
}

export function idList(
  row: Row,
  key: string,
  fits: (id: number) => boolean,
  vocabulary: number,
): number[] {
  return list(row, key).map((id, i) => {
    if (typeof id !== "number" || !Number.isSafeInteger(id)) {
      return refuse(`${key}[${i}] must be a token id, got ${excerpt(JSON.stringify(id), 30)}`);
    }
    if (fits(id)) return id;
    const limit = vocabulary === Infinity ? "negative" : `outside the vocabulary of ${vocabulary}`;
    return refuse(`${key}[${i}] is ${id}, which is ${limit}`);
  });
}

function promptAnd(answer: string, prompt = "prompt") {
  return (row: Row, { jsonIndent = 0 }: RowOptions): Body => {
    if (Array.isArray(row[prompt])) {
      const asked = list(row, prompt).map((m, i) => message(m, `${prompt}[${i}]`));
      const answered = Array.isArray(row[answer])
        ? list(row, answer)
        : [{ role: "assistant", content: answerText(row, answer, jsonIndent) }];
      return conversation([...asked.map((m) => ({ ...m, weight: 0 })), ...answered]);
    }
    return { prompt: text(row, prompt), answer: answerText(row, answer, jsonIndent) };
  };
}

/** As whet data reasoning writes rows that are no conversations. */
function promptReasoned(row: Row, { jsonIndent = 0 }: RowOptions): Body {
  return { prompt: text(row, "prompt"), answer: reasoned(row, "response", jsonIndent) };
}

/** A question and its answer under names of their own. */
function asked(question: string, answer: string) {
  return (row: Row, { jsonIndent = 0 }: RowOptions): Body => ({
    messages: [
      { role: "user", content: filled(row, question) },
      { role: "assistant", content: reasoned(row, answer, jsonIndent) },
    ],
  });
}

/** The answer; where the row tells why it follows, the reasons first, each in a section. */
function reasoned(row: Row, answer: string, indent: number): string {
  const said = answerText(row, answer, indent), { reasoning } = row;
  if (reasoning === undefined || reasoning === null) return said;
  const reasons = text(row, "reasoning").trim();
  return reasons === "" ? said : inSections(reasons, said);
}

/** What an answer states after its reasons; all of one that has no such sections. */
export const statedIn = (answer: string) =>
  /<intent_ir>\s*([\s\S]*?)\s*<\/intent_ir>/.exec(answer)?.[1] ?? answer;

/** An answer that reasons before it states the JSON. */
export const inSections = (reasoning: string, json: string) =>
  `<reasoning>\n${reasoning}\n</reasoning>\n\n<intent_ir>\n${json}\n</intent_ir>`;

/** The prompt of the Stanford Alpaca data, in the wording that the trainings of S3 use. */
function fromAlpaca(row: Row, { jsonIndent = 0 }: RowOptions): Body {
  const input = "input" in row && row.input !== null ? text(row, "input") : "";
  const parts = ["### Instruction:", filled(row, "instruction")];
  if (input !== "") parts.push("### Input:", input);
  parts.push("### Response:", "");
  return { prompt: parts.join("\n"), answer: answerText(row, "output", jsonIndent) };
}

/** A request to a command line; what is known about the situation follows it on a line of its own. */
function fromClitron(row: Row, { jsonIndent = 0 }: RowOptions): Body {
  const { context } = row;
  if (context !== null && typeof context !== "string" && !isObject(context)) {
    refuse(`context must be an object or null, got ${kindOf(context)}`);
  }
  const content = requestText(filled(row, "instruction"), context === "" ? null : context);
  const answer = { role: "assistant", content: answerText(row, "output", jsonIndent) };
  return { messages: [{ role: "user", content }, answer] };
}

/** What a model is asked for a request with context, in training as in use. */
export function requestText(instruction: string, context: unknown): string {
  if (context === null || context === undefined) return instruction;
  return `${instruction}\n${typeof context === "string" ? context : JSON.stringify(context)}`;
}

const ROLES = ["system", "developer", "user", "assistant", "tool"];

export function conversation(turns: readonly unknown[]): Body {
  if (turns.length === 0) refuse("the conversation is empty");
  const messages = turns.map((turn, i) => message(turn, `message ${i + 1}`));
  const late = messages.findIndex(({ role }, i) => role === "system" && i > 0);
  if (late > 0) refuse(`message ${late + 1} is from the system; only the first may be`);
  const talk = messages.filter(({ role }) => role === "user" || role === "assistant");
  if (talk[0]?.role === "assistant") refuse("the conversation begins with the assistant");
  const twice = messages.findIndex((m, i) => m.role === "user" && messages[i - 1]?.role === "user");
  if (twice > 0) refuse(`messages ${twice} and ${twice + 1} are both from the user`);
  const answers = messages.filter((m) => m.role === "assistant" && m.weight !== 0);
  if (answers.length === 0) refuse("no assistant message to train on");
  if (answers.some((m) => m.content === "" && m.tool_calls === undefined)) {
    refuse("nothing to train on: an assistant message is empty");
  }
  return { messages };
}

export function message(value: unknown, where: string): Message {
  if (!isObject(value)) return refuse(`${where} must be an object, got ${kindOf(value)}`);
  const { role, content } = value;
  if (typeof role !== "string" || !ROLES.includes(role)) {
    refuse(`${where} has role ${JSON.stringify(role)}; roles are ${ROLES.join(", ")}`);
  }
  const calls = role === "assistant" && value.tool_calls !== undefined;
  if (typeof content !== "string" && !Array.isArray(content) && !(calls && content == null)) {
    refuse(`${where} needs content, a text, got ${kindOf(content)}`);
  }
  if (value.weight !== undefined && value.weight !== 0 && value.weight !== 1) {
    refuse(`${where} has weight ${JSON.stringify(value.weight)}; 0 and 1 are allowed`);
  }
  return value as unknown as Message;
}

const SHARE_GPT: Readonly<Record<string, string>> = {
  human: "user",
  user: "user",
  gpt: "assistant",
  chatgpt: "assistant",
  bard: "assistant",
  assistant: "assistant",
  system: "system",
  tool: "tool",
};

function fromShareGpt(turn: unknown, i: number): unknown {
  if (!isObject(turn) || !("from" in turn)) return turn;
  const role = typeof turn.from === "string" ? SHARE_GPT[turn.from] : undefined;
  if (!role) {
    refuse(
      `conversations[${i}] is from ${JSON.stringify(turn.from)}; expected human, gpt or system`,
    );
  }
  return {
    role,
    content: turn.value,
    ...(turn.weight === undefined ? {} : { weight: turn.weight }),
  };
}

function systemFirst(row: Row, turns: unknown[]): unknown[] {
  if (typeof row.system !== "string" || row.system === "") return turns;
  return [{ role: "system", content: row.system }, ...turns];
}

export function list(row: Row, key: string): readonly unknown[] {
  const value = row[key];
  if (!Array.isArray(value)) return refuse(`${key} must be a list, got ${kindOf(value)}`);
  return value;
}

export function text(row: Row, key: string): string {
  const value = row[key];
  return typeof value === "string" ? value : refuse(`${key} must be a text, got ${kindOf(value)}`);
}

function filled(row: Row, key: string): string {
  const value = text(row, key);
  return value.trim() === "" ? refuse(`${key} is empty`) : value;
}

/** An answer may be any JSON value; all but texts are written as JSON. */
export function answerText(row: Row, key: string, indent: number): string {
  const value = row[key];
  if (value === null) refuse(`${key} is null: there is no answer to train on`);
  const written = typeof value === "string" ? value : JSON.stringify(value, null, indent);
  if (written.trim() === "") refuse(`nothing to train on: ${key} is empty`);
  return written;
}

export function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : isObject(value) ? "an object" : `a ${typeof value}`;
}

/** As Python prints a list of strings: the form of the documented messages. */
function quoted(names: readonly string[]): string {
  return `[${names.map((name) => `'${name}'`).join(", ")}]`;
}

/** The bytes of a file, or of standard input for "-". @throws Fail (exit 3) where it cannot be read */
export async function* byteStream(path: string): AsyncGenerator<Uint8Array> {
  const stream = path === "-" ? process.stdin : createReadStream(path, { highWaterMark: 2 ** 20 });
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === undefined) throw cause;
    throw new Fail(`cannot read the dataset ${path}`, {
      why: code === "ENOENT" ? "there is no such file" : (cause as Error).message,
      fix: "check the path; it must be a file",
      exit: Exit.data,
      cause,
    });
  }
}
