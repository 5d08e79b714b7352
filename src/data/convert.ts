import { isObject } from "../base/strict_json.ts";
import type { Message } from "../text/chat_template.ts";
import type { Value } from "./json_values.ts";
import { exampleOf, inSections as sections } from "./rows.ts";

/** Forms that can be read. */
export type SourceForm =
  | "messages"
  | "sharegpt"
  | "prompt"
  | "alpaca"
  | "clitron"
  | "raw"
  | "cot"
  | "dpo"
  | "triplets"
  | "text";
/** Forms that can be written. */
export type TargetForm = "messages" | "prompt" | "alpaca" | "text" | "dpo" | "triplets" | "cot";

/** Which keys hold what, by what they are: prompt, response, reasoning, system, chosen, … */
export type FieldMap = Readonly<Record<string, string>>;

export interface ConvertOptions {
  readonly to: TargetForm;
  readonly from: SourceForm;
  readonly map?: FieldMap;
  /** Stands first in every row, in place of what a row has itself. */
  readonly system?: string;
  readonly jsonIndent?: number;
  /** The text of the token that ends an answer, for `cot`. */
  readonly eos?: string;
}

/** What a map may name for each form; the first list are the forms that the names choose. */
const MAPPED: readonly (readonly [SourceForm, readonly string[]])[] = [
  ["dpo", ["prompt", "chosen", "rejected"]],
  ["triplets", ["anchor", "positive", "negative"]],
  ["cot", ["prompt", "reasoning", "response"]],
  ["alpaca", ["instruction", "output"]],
  ["prompt", ["prompt", "response"]],
  ["messages", ["messages"]],
  ["text", ["text"]],
];

/** Names that a map may give. */
export const MAP_NAMES = [
  ...new Set([...MAPPED.flatMap(([, names]) => names), "input", "system"]),
];

/** Fields that tell a form, the most telling first. */
const TELLING: readonly (readonly [SourceForm, readonly string[]])[] = [
  ["messages", ["messages"]],
  ["sharegpt", ["conversations"]],
  ["dpo", ["chosen", "rejected"]],
  ["triplets", ["anchor", "positive", "negative"]],
  ["triplets", ["query", "positive", "negative"]],
  ["cot", ["gtm_prompt", "intent_ir"]],
  ["cot", ["prompt", "reasoning", "response"]],
  ["raw", ["query", "data"]],
  ["clitron", ["instruction", "context", "output"]],
  ["alpaca", ["instruction", "output"]],
  ["prompt", ["prompt", "completion"]],
  ["prompt", ["prompt", "response"]],
  ["text", ["text"]],
];

/** The form of one row, by the names of its fields. */
export function formOf(value: unknown): SourceForm | undefined {
  if (!isObject(value)) return undefined;
  return TELLING.find(([, names]) => names.every((name) => name in value))?.[0];
}

/** The form that a map's names choose, the one that needs most of them. */
export function mappedForm(map: FieldMap): SourceForm | undefined {
  return MAPPED.find(([, names]) => names.every((name) => name in map))?.[0];
}

/** What a form most rows have, and the share of them that have it: how sure the guess is. */
export function detect(
  values: readonly Value[],
): { readonly form: SourceForm; readonly share: number } | undefined {
  const found = new Map<SourceForm, number>();
  for (const { value } of values) {
    const form = formOf(value);
    if (form) found.set(form, (found.get(form) ?? 0) + 1);
  }
  const [best] = [...found].sort((a, b) => b[1] - a[1]);
  return best && { form: best[0], share: best[1] / values.length };
}

/** A row converted, or why it cannot be. */
export type Converted =
  | { readonly row: Readonly<Record<string, unknown>>; readonly system?: string }
  | { readonly problem: string }
  /** A pair of equal answers, which is passed over. */
  | { readonly identical: true };

/** Converts one value of a dataset. */
export function convertRow(value: Value, index: number, options: ConvertOptions): Converted {
  if (value.problem !== undefined) return { problem: value.problem };
  if (!isObject(value.value)) return { problem: "a row must be a JSON object" };
  const row = renamed(value.value, options.map);
  try {
    if (options.to === "dpo" || options.from === "dpo") return pair(row, options);
    if (options.to === "triplets" || options.from === "triplets") return triplet(row, options);
    const talk = talkOf(row, value, index, options);
    const own = talk.system;
    return { row: written({ ...talk, system: options.system ?? own }, options), system: own };
  } catch (error) {
    if (error instanceof Refused) return { problem: error.message };
    throw error;
  }
}

class Refused extends Error {}

function refuse(reason: string): never {
  throw new Refused(reason);
}

type Row = Readonly<Record<string, unknown>>;

/** The row with the names of the map beside its own. */
function renamed(row: Row, map: FieldMap = {}): Row {
  const out: Record<string, unknown> = { ...row };
  for (const [name, key] of Object.entries(map)) {
    if (!(key in row) && name !== "system" && name !== "input" && name !== "reasoning") continue;
    if (key in row) out[name] = row[key];
  }
  return out;
}

/** A conversation between its system text and its answers; `reasoning` comes before the last answer. */
interface Talk {
  readonly system?: string;
  readonly turns: readonly Message[];
  readonly reasoning?: string;
  /** Where the question came in two parts. */
  readonly parts?: { readonly instruction: string; readonly input: string };
}

function talkOf(row: Row, value: Value, index: number, options: ConvertOptions): Talk {
  const { jsonIndent = 0, from } = options;
  const answer = (key: string) => answerText(row, key, jsonIndent);
  const single = (asked: string, said: string, more: Partial<Talk> = {}): Talk => ({
    turns: [{ role: "user", content: asked }, { role: "assistant", content: said }],
    ...(typeof row.system === "string" && row.system !== "" ? { system: row.system } : {}),
    ...more,
  });
  switch (from) {
    case "raw":
      return single(question(row, "query"), answer("data"));
    case "cot": {
      const asked = "gtm_prompt" in row && !("prompt" in row) ? "gtm_prompt" : "prompt";
      const said = "intent_ir" in row && !("response" in row) ? "intent_ir" : "response";
      const { reasoning } = row;
      const indent = options.jsonIndent ?? (options.to === "cot" ? 2 : 0);
      if (reasoning !== undefined && typeof reasoning !== "string") {
        refuse("reasoning must be a text");
      }
      return single(question(row, asked), answerText(row, said, indent), {
        ...(typeof reasoning === "string" && reasoning.trim() !== "" ? { reasoning } : {}),
      });
    }
    case "prompt": {
      const said = "response" in row ? "response" : "completion";
      if (Array.isArray(row.prompt)) break;
      return single(question(row, "prompt"), answer(said));
    }
    case "alpaca": {
      const instruction = question(row, "instruction");
      const input = typeof row.input === "string" ? row.input : "";
      const asked = input === "" ? instruction : `${instruction}\n\n${input}`;
      return single(asked, answer("output"), { parts: { instruction, input } });
    }
    case "text": {
      const text = question(row, "text");
      const found =
        /^### Instruction:\n([\s\S]*?)(?:\n+### Input:\n([\s\S]*?))?\n+### Response:\n([\s\S]+)$/
          .exec(text);
      if (!found) refuse("text has no ### Instruction: and ### Response: to tell its parts by");
      const [, instruction = "", input = "", said = ""] = found;
      const asked = input === "" ? instruction : `${instruction}\n\n${input}`;
      return single(asked, said, { parts: { instruction, input } });
    }
  }
  // The forms that training reads itself are read by its own reader, which says what is wrong with them.
  const read = exampleOf({ ...value, value: row }, index, { jsonIndent });
  if ("problem" in read) refuse(read.problem);
  const { example } = read;
  if (!("messages" in example)) return refuse(`the row is not of the form ${from}`);
  const [first, ...rest] = example.messages;
  if (first?.role !== "system") return { turns: example.messages };
  return { system: String(first.content), turns: rest };
}

function question(row: Row, key: string): string {
  const value = row[key];
  if (value === undefined) {
    refuse(
      `missing required fields ['${key}'], got: [${
        Object.keys(row).map((k) => `'${k}'`).join(", ")
      }]`,
    );
  }
  if (typeof value !== "string") return refuse(`${key} must be a text`);
  return value.trim() === "" ? refuse(`${key} is empty`) : value;
}

function answerText(row: Row, key: string, indent: number): string {
  const value = row[key];
  if (value === undefined) {
    refuse(
      `missing required fields ['${key}'], got: [${
        Object.keys(row).map((k) => `'${k}'`).join(", ")
      }]`,
    );
  }
  if (value === null) refuse(`${key} is null: there is no answer`);
  const text = typeof value === "string" ? value : JSON.stringify(value, null, indent);
  return text.trim() === "" ? refuse(`${key} is empty`) : text;
}

/** The line that tells a model to reason first, as the second form of the CCP trainings has it. */
const REASON = "IMPORTANT: You must REASON about the request before producing structured output.";

function written(talk: Talk, { to, eos = "" }: ConvertOptions): Row {
  if (to === "messages") {
    const head = talk.system === undefined ? [] : [{ role: "system", content: talk.system }];
    const { reasoning } = talk;
    if (reasoning === undefined) return { messages: [...head, ...talk.turns] };
    const last = talk.turns.at(-1)!;
    const content = sections(reasoning, String(last.content));
    return { messages: [...head, ...talk.turns.slice(0, -1), { ...last, content }] };
  }
  const { asked, said } = oneTurn(talk);
  const { system, reasoning, parts } = talk;
  switch (to) {
    case "cot": {
      const head = [system, reasoning === undefined ? undefined : REASON]
        .filter((line) => line !== undefined).join("\n\n");
      const prompt = `[INST] ${head === "" ? "" : `${head}\n\n`}User request: ${asked} [/INST]\n`;
      return {
        prompt,
        completion: (reasoning === undefined ? said : sections(reasoning, said)) + eos,
      };
    }
    case "prompt":
      return {
        prompt: system === undefined ? asked : `${system}\n\n${asked}`,
        completion: reasoning === undefined ? said : sections(reasoning, said),
      };
    default: {
      const { instruction, input } = instructionOf(asked, system, parts);
      const output = reasoning === undefined ? said : sections(reasoning, said);
      if (to === "alpaca") return { instruction, input, output };
      const middle = input === "" ? "" : `### Input:\n${input}\n`;
      return { text: `### Instruction:\n${instruction}\n${middle}### Response:\n${output}` };
    }
  }
}

function instructionOf(asked: string, system: string | undefined, parts: Talk["parts"]) {
  if (system === undefined) return parts ?? { instruction: asked, input: "" };
  if (!parts) return { instruction: system, input: asked };
  return { instruction: `${system}\n\n${parts.instruction}`, input: parts.input };
}

function oneTurn({ turns }: Talk): { asked: string; said: string } {
  const [asked, said] = turns;
  if (turns.length !== 2 || asked!.role !== "user" || said!.role !== "assistant") {
    refuse(`the conversation has ${turns.length} turns; only --to messages can hold that`);
  }
  const text = (message: Message | undefined) =>
    typeof message?.content === "string"
      ? message.content
      : refuse("a message is not plain text; only --to messages can hold that");
  return { asked: text(asked), said: text(said) };
}

function pair(row: Row, { to, from, system }: ConvertOptions): Converted {
  if (to !== "dpo") refuse(`rows of preferences cannot become ${to}`);
  if (from !== "dpo") {
    refuse(`rows of ${from} hold one answer; preferences need chosen and rejected`);
  }
  let { prompt, chosen, rejected } = row;
  if (chosen === undefined || rejected === undefined) {
    const missing = ["chosen", "rejected"].filter((name) => row[name] === undefined);
    refuse(
      `missing required fields [${missing.map((n) => `'${n}'`).join(", ")}]. Expected fields: ` +
        `['prompt', 'chosen', 'rejected'], got: [${
          Object.keys(row).map((n) => `'${n}'`).join(", ")
        }]`,
    );
  }
  if (Array.isArray(chosen) && Array.isArray(rejected)) {
    // Whole conversations that differ in the last turn: what they share is the prompt.
    const same = chosen.findIndex((turn, i) =>
      JSON.stringify(turn) !== JSON.stringify((rejected as unknown[])[i])
    );
    if (same < 0) return { identical: true };
    if (prompt === undefined) {
      if (same === 0) refuse("chosen and rejected have no turn in common to be the prompt");
      [prompt, chosen, rejected] = [
        chosen.slice(0, same),
        chosen.slice(same),
        rejected.slice(same),
      ];
    }
  } else if (typeof chosen === "string" && chosen === rejected) return { identical: true };
  if (prompt === undefined || prompt === "") refuse("prompt is missing or empty");
  for (const [name, value] of Object.entries({ prompt, chosen, rejected })) {
    if (typeof value !== "string" && !Array.isArray(value)) {
      refuse(`${name} must be a text or a list of messages`);
    }
  }
  const own = Array.isArray(prompt) && isObject(prompt[0]) && prompt[0].role === "system"
    ? String(prompt[0].content)
    : undefined;
  if (system !== undefined) {
    prompt = Array.isArray(prompt)
      ? [{ role: "system", content: system }, ...prompt.slice(own === undefined ? 0 : 1)]
      : `${system}\n\n${prompt}`;
  }
  return { row: { prompt, chosen, rejected }, ...(own === undefined ? {} : { system: own }) };
}

function triplet(row: Row, { to, from }: ConvertOptions): Converted {
  if (to !== "triplets") refuse(`triplets cannot become ${to}`);
  if (from !== "triplets") refuse(`rows of ${from} hold no anchor, positive and negative`);
  const anchor = row.anchor ?? row.query;
  const { positive, negative } = row;
  for (const [name, value] of Object.entries({ anchor, positive, negative })) {
    if (typeof value !== "string" || value.trim() === "") refuse(`${name} must be a text`);
  }
  if (positive === negative) return { identical: true };
  return { row: { anchor, positive, negative } };
}
