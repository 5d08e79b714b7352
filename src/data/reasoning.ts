import { isObject } from "../base/strict_json.ts";
import type { Value } from "./json_values.ts";
import { exampleOf, requestText } from "./rows.ts";

/** A request, the JSON that answers it, and why, as far as the row says. */
export interface ReasonedRow {
  readonly line: number;
  readonly prompt: string;
  /** Lines that begin with "- ". */
  readonly reasoning?: string;
  readonly answer: unknown;
  /** The row as it will be written, but for its reasoning. */
  readonly rest: {
    readonly names: readonly [prompt: string, answer: string];
    readonly system?: string;
    readonly metadata?: Readonly<Record<string, unknown>>;
  };
}

const ASKED = ["gtm_prompt", "prompt", "query", "instruction"];
const SAID = ["intent_ir", "json", "response", "completion", "output", "data"];

/** Reads a row that may have a reasoning. @returns the row, or what is wrong with it */
export function reasonedRow(
  value: Value,
  index: number,
): ReasonedRow | { readonly problem: string } {
  if (value.problem !== undefined) return { problem: value.problem };
  const row = value.value;
  if (!isObject(row)) return { problem: "a row must be a JSON object" };
  const { reasoning } = row;
  if (reasoning !== undefined && typeof reasoning !== "string") {
    return { problem: "reasoning must be a text" };
  }
  const asked = ASKED.find((name) => typeof row[name] === "string");
  const said = SAID.find((name) => row[name] !== undefined);
  const metadata = isObject(row.metadata) ? { metadata: row.metadata } : {};
  const own = reasoning?.trim() ? { reasoning: reasoning.trim() } : {};
  if (asked !== undefined && said !== undefined) {
    const answer = jsonOf(row[said]);
    if (!answer) return { problem: `${said} is no JSON object` };
    const text = row[asked] as string;
    if (text.trim() === "") return { problem: `${asked} is empty` };
    const names = asked === "gtm_prompt" ? [asked, "intent_ir"] as const : NAMES;
    const system = typeof row.system === "string" ? { system: row.system } : {};
    return {
      line: value.line,
      prompt: asked === "instruction" ? requestText(text, row.context ?? null) : text,
      answer,
      ...own,
      rest: { names, ...system, ...metadata },
    };
  }
  // Conversations of one question and one answer.
  const read = exampleOf(value, index);
  if ("problem" in read) return read;
  const { example } = read;
  if (!("messages" in example)) {
    return { problem: "the row has no prompt and JSON to reason about" };
  }
  const [first, ...after] = example.messages;
  const [user, assistant] = first?.role === "system" ? after : example.messages;
  const answer = jsonOf(assistant?.content);
  if (typeof user?.content !== "string" || !answer) {
    return { problem: "a conversation needs one question and an answer that is a JSON object" };
  }
  const system = first?.role === "system" ? { system: String(first.content) } : {};
  return {
    line: value.line,
    prompt: user.content,
    answer,
    ...own,
    rest: { names: NAMES, ...system, ...metadata },
  };
}

const NAMES = ["prompt", "response"] as const;

function jsonOf(value: unknown): object | undefined {
  if (isObject(value)) return value;
  if (typeof value !== "string") return undefined;
  try {
    const parsed: unknown = JSON.parse(value);
    return isObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

/** A row with its reasoning, as whet data convert --to cot and --to messages read it. */
export function written(
  { prompt, answer, rest }: ReasonedRow,
  reasoning: string,
  source?: string,
): Readonly<Record<string, unknown>> {
  const { names: [asked, said], system, metadata } = rest;
  return {
    ...(system === undefined ? {} : { system }),
    [asked]: prompt,
    reasoning,
    [said]: answer,
    ...(metadata || source
      ? { metadata: { ...metadata, ...(source ? { reasoning: source } : {}) } }
      : {}),
  };
}

export const FLAGS = ["shallow", "copied", "templated", "contradicting"] as const;
export type Flag = (typeof FLAGS)[number];

export interface Flagged {
  readonly flag: Flag;
  readonly why: string;
}

/** Words of which a chain that says something has more. */
const FEW = 8;
/** Share of a chain's words that stand neither in its JSON nor among those that carry no meaning. */
const NOVEL = 0.15;
const GRAM = 5;
/** Share of its runs of five words that a chain has from its prompt, or from another chain. */
const FROM_PROMPT = 0.5;
const FROM_OTHER = 0.6;
/** Rows of one skeleton, from which on it is a template: five, or one in twenty. */
const SAME = 5;
const SAME_SHARE = 0.05;

const EMPTY = new Set(
  "a an and are as be by for from has have in is it its no not of on or set so that the then there this to was which with value field equals"
    .split(" "),
);

/**
 * What is wrong with chains of reasoning, row by row:
 * - shallow: fewer than eight words, or next to nothing but the names and values of the JSON
 * - copied: half of its runs of five words stand in the prompt (quotations aside), or six in ten in the
 *   chain of an earlier row
 * - templated: the same words but for what comes from prompt and JSON, in five rows and one in twenty
 * - contradicting: gives a field of the JSON another value than the JSON has
 */
export function judgeChains(
  rows: readonly {
    readonly prompt: string;
    readonly reasoning: string;
    readonly answer: unknown;
  }[],
): Flagged[][] {
  const found: Flagged[][] = rows.map(() => []);
  const skeletons = new Map<string, number[]>();
  const owners = new Map<string, number[]>();
  const known = knownValues(rows.map(({ answer }) => answer));
  rows.forEach((row, i) => {
    const flag = (flag: Flag, why: string | undefined) => why && found[i]!.push({ flag, why });
    flag("shallow", shallow(row));
    flag("copied", fromPrompt(row) ?? fromOthers(row.reasoning, i, owners));
    flag("contradicting", contradiction(row, known));
    const bones = skeleton(row);
    const same = skeletons.get(bones);
    if (same) same.push(i);
    else skeletons.set(bones, [i]);
  });
  const least = Math.max(SAME, Math.ceil(SAME_SHARE * rows.length));
  for (const [bones, same] of skeletons) {
    if (same.length < least || bones === "") continue;
    const why = `${same.length} chains have these words but for their values: ${
      bones.slice(0, 80)
    }`;
    for (const i of same) found[i]!.push({ flag: "templated", why });
  }
  return found;
}

const wordsOf = (text: string) =>
  text.toLowerCase().replace(/[_-]+/g, " ").match(/[\p{L}\p{N}]+/gu) ?? [];

function shallow(
  { reasoning, answer }: { reasoning: string; answer: unknown },
): string | undefined {
  const words = wordsOf(reasoning);
  if (words.length < FEW) return `${words.length} words`;
  const json = new Set(wordsOf(JSON.stringify(answer)));
  const meant = words.filter((word) => !EMPTY.has(word));
  const novel = meant.filter((word) => !json.has(word)).length / Math.max(1, meant.length);
  return novel < NOVEL ? "says again what the JSON says" : undefined;
}

function grams(text: string): string[] {
  const words = wordsOf(text);
  return Array.from(
    { length: Math.max(0, words.length - GRAM + 1) },
    (_, i) => words.slice(i, i + GRAM).join(" "),
  );
}

const QUOTED = /(?<![\p{L}\p{N}])(['"`])(?:(?!\1).){1,200}?\1(?![\p{L}\p{N}])/gu;

function fromPrompt(
  { prompt, reasoning }: { prompt: string; reasoning: string },
): string | undefined {
  const own = grams(reasoning.replace(QUOTED, " | "));
  const asked = new Set(grams(prompt));
  const share = own.filter((gram) => asked.has(gram)).length / Math.max(1, own.length);
  return share >= FROM_PROMPT
    ? `${Math.round(100 * share)} % of it stands in the prompt`
    : undefined;
}

/** Also remembers whose the runs of words are. */
function fromOthers(
  reasoning: string,
  index: number,
  owners: Map<string, number[]>,
): string | undefined {
  const own = new Set(grams(reasoning));
  const shared = new Map<number, number>();
  for (const gram of own) {
    const before = owners.get(gram);
    for (const row of before ?? []) shared.set(row, (shared.get(row) ?? 0) + 1);
    if (!before) owners.set(gram, [index]);
    else if (before.length < 20) before.push(index);
  }
  const [most] = [...shared].sort((a, b) => b[1] - a[1]);
  if (!most || most[1] / own.size < FROM_OTHER) return undefined;
  return `${Math.round((100 * most[1]) / own.size)} % of it stands in the chain of row ${
    most[0] + 1
  }`;
}

/** The chain without quotations, numbers, and words of its prompt or JSON. */
function skeleton(
  { prompt, reasoning, answer }: { prompt: string; reasoning: string; answer: unknown },
): string {
  const given = new Set([...wordsOf(prompt), ...wordsOf(JSON.stringify(answer))]);
  return wordsOf(reasoning.replace(QUOTED, " 0 "))
    .map((word) => /\p{N}/u.test(word) || (given.has(word) && !EMPTY.has(word)) ? "_" : word)
    .join(" ").replace(/_( _)+/g, "_");
}

/** Scalars by the name of their field, as words. */
function leavesOf(value: unknown, name = ""): [name: string, value: string][] {
  if (Array.isArray(value)) return [];
  if (isObject(value)) {
    return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, key));
  }
  return value === null ? [] : [[plain(name), plain(String(value))]];
}

const plain = (text: string) => text.toLowerCase().replace(/[_\s-]+/g, " ").trim();

function knownValues(answers: readonly unknown[]): Map<string, Set<string>> {
  const known = new Map<string, Set<string>>();
  for (const answer of answers) {
    for (const [name, value] of leavesOf(answer)) {
      const values = known.get(name);
      if (values) values.add(value);
      else known.set(name, new Set([value]));
    }
  }
  return known;
}

/** "role assumption is sales rep", "time horizon: this quarter", "`minutes` set to 5". */
const SAYS =
  /^['"`]?\s*(?:is set to|set to|should be|must be|will be|is|equals|to|=|:|→|->)\s*['"`]?/;

/** "'north' gives the bed", "'this quarter' explicitly sets time horizon". */
const GIVES =
  /(['"`])([^'"`]+)\1(?: \p{L}+)? (?:gives|names|sets|says|is) (?:the )?([\p{L}\p{N} ]+?)(?=$|[,.;:])/gu;

function contradiction(
  { reasoning, answer }: { reasoning: string; answer: unknown },
  known: ReadonlyMap<string, ReadonlySet<string>>,
): string | undefined {
  const leaves = leavesOf(answer);
  const names = new Map<string, string[]>();
  for (const [name, value] of leaves) names.set(name, [...names.get(name) ?? [], value]);
  // What stands in parentheses, such as a confidence, is about the line and no field.
  for (const line of linesOf(reasoning)) {
    for (const [, , told, name] of line.matchAll(GIVES)) {
      const values = names.get(name!);
      if (!values || values.includes(told!) || !known.get(name!)?.has(told!)) continue;
      return `says ${told} is the ${name}, the JSON has ${values.join(", ")}`;
    }
    for (const [name, values] of names) {
      for (let at = line.indexOf(name); at >= 0; at = line.indexOf(name, at + 1)) {
        if (/[\p{L}\p{N}]$/u.test(line.slice(0, at))) continue;
        const rest = line.slice(at + name.length), says = SAYS.exec(rest);
        if (!says) continue;
        const told = rest.slice(says[0].length);
        if (values.some((value) => begins(told, value)) || /^not\b/.test(told)) continue;
        const other = [...known.get(name) ?? []].filter((value) => begins(told, value))
          .sort((a, b) => b.length - a.length)[0];
        const number = /^-?\d+(\.\d+)?\b/.exec(told)?.[0];
        const numbers = values.every((value) => value !== "" && !Number.isNaN(Number(value)));
        const wrong = other ?? (numbers ? number : undefined);
        if (wrong === undefined || values.some((value) => Number(value) === Number(wrong))) {
          continue;
        }
        return `says ${name} is ${wrong}, the JSON has ${values.join(", ")}`;
      }
    }
  }
  return undefined;
}

const linesOf = (text: string) =>
  text.split("\n").map((line) => plain(line.replace(/\([^()]*\)/g, " ")));

const begins = (text: string, value: string) =>
  value !== "" && text.startsWith(value) && !/^[\p{L}\p{N}]/u.test(text.slice(value.length));
