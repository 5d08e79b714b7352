import { Exit, Fail } from "../base/fail.ts";
import { suggest } from "../base/text.ts";
import type { AnswerSchema } from "../settings/answer_schema.ts";
import type { Case } from "./teacher.ts";

/** What a prompt template may ask to be filled in. */
const SLOTS = ["schema_yaml", "n", "name", "cases", "context", "avoid"] as const;
export type Slot = (typeof SLOTS)[number];

const COMMANDS =
  `You write training data for a small language model. The model reads what somebody \
says and answers with one call of the command line "{name}", as JSON, or asks back where it must.

The command line:

\`\`\`yaml
{schema_yaml}
\`\`\`

Write {n} examples:

{cases}

{context}

An example is {"input": what the person says, "context": an object or null, "output": the right \
answer, "case": the name of its kind from the list above}.

Where the request can be carried out, output is
{"type": "command", "command": "…", "subcommand": "…", "args": {"name": value}, "flags": ["name"], "confidence": 0.95}
- Only commands, subcommands, arguments and flags that the schema has, by their full names.
- Every required argument is there. Integers are numbers without quotes. Enums have one of their values.
- args holds only what was said, what the context gives, and nothing guessed.
- confidence: 0.9 or more where nothing is in doubt, 0.7 to 0.9 where something was inferred.

Where it cannot, output is
{"type": "clarification", "message": "one short question or remark", "suggestions": [{"label": "…", "command": "…", "subcommand": "…"}], "confidence": 0.6}
- confidence: 0.5 to 0.7 with suggestions, below 0.5 where there is nothing to suggest ([]).

The kinds of request that cannot be carried out:
- ambiguous_command: several subcommands would do
- missing_argument: the subcommand is clear, and something required was neither said nor in the context
- unclear_intent: no action can be recognised
- off_topic: nothing that this program does
- multiple_interpretations: one sentence that reads in two ways
- ambiguous_typo: a misspelling as near to one subcommand as to another

Vary formality (curt, casual, polite, precise), completeness, synonyms, the order of words, which \
optional arguments and flags are named, and which values. Some requests have a slip of the keyboard. \
People seldom name the command itself. No two requests are alike.
{avoid}
Answer with a JSON array of {n} examples and nothing else:
[{"input": "…", "context": null, "output": {…}, "case": "no_context"}]
`;

const ANSWERS =
  `You write training data for a small language model. The model reads a text and answers \
with JSON that fits this JSON Schema:

\`\`\`json
{schema_yaml}
\`\`\`

Write {n} examples. An example is {"input": the text, "context": null, "output": the right answer}. \
Every output fits the schema, and everything in it follows from the text.

Vary length, formality, completeness, synonyms, the order of words, which optional parts occur, and \
which values. Some texts lack what is optional, some have a slip of the keyboard. No two are alike.
{avoid}
Answer with a JSON array of {n} examples and nothing else:
[{"input": "…", "context": null, "output": {…}}]
`;

/** The template that serves a schema unless another is given. */
export function defaultTemplate(schema: AnswerSchema): string {
  return schema.cli ? COMMANDS : ANSWERS;
}

/**
 * Checks a template of the user's own: {schema_yaml} and {n} must be there, and nothing that looks like a
 * slot and is none. Braces around anything but one lower-case word are text.
 * @throws Fail (usage) with the line
 */
export function checkTemplate(text: string, path: string): void {
  for (const found of text.matchAll(/\{([a-z_]+)\}/g)) {
    if (SLOTS.includes(found[1] as Slot)) continue;
    const line = text.slice(0, found.index).split("\n").length;
    const near = suggest(found[1]!, SLOTS);
    throw new Fail(`${path}:${line}: ${found[0]} is not a slot of the template`, {
      why: near ? `did you mean {${near}}?` : `slots are ${SLOTS.map((s) => `{${s}}`).join(", ")}`,
      fix: `write one of these, or other braces around text that is meant as it stands`,
      exit: Exit.usage,
    });
  }
  for (const needed of ["schema_yaml", "n"]) {
    if (text.includes(`{${needed}}`)) continue;
    throw new Fail(`${path}: the template has no {${needed}}`, {
      why: needed === "n"
        ? "it stands for the number of examples a call is to bring"
        : "it stands for the schema, without which a teacher can only guess",
      fix: `put {${needed}} where it belongs`,
      exit: Exit.usage,
    });
  }
}

const TOLD: Readonly<Record<Case, string>> = {
  full_context: "commands with every field of the context filled",
  partial_context: "commands with some fields of the context, the others left out",
  no_context: "commands with context null",
  ambiguous_command: "clarifications of the kind ambiguous_command",
  missing_argument: "clarifications of the kind missing_argument",
  unclear_intent: "clarifications of the kind unclear_intent",
  off_topic: "clarifications of the kind off_topic",
  multiple_interpretations: "clarifications of the kind multiple_interpretations",
  ambiguous_typo: "clarifications of the kind ambiguous_typo",
  answer: "examples",
};

export interface PromptOptions {
  readonly rows: number;
  readonly wanted: readonly { readonly case: Case; readonly count: number }[];
  /** Subcommands that have the fewest rows so far: "pr create". */
  readonly focus: readonly string[];
  /** Requests that are there already, so that others are written. */
  readonly known: readonly string[];
  /** What was wrong with rows of earlier answers. */
  readonly faults: readonly string[];
}

/** The text of one call. */
export function promptOf(template: string, schema: AnswerSchema, o: PromptOptions): string {
  const list = (title: string, lines: readonly string[]) =>
    lines.length === 0 ? "" : `\n${title}\n${lines.map((line) => `- ${line}`).join("\n")}\n`;
  const cases = o.wanted.map(({ case: name, count }) => `- ${count} × ${name}: ${TOLD[name]}`);
  if (o.focus.length > 0) {
    cases.push(`Spread the commands over these subcommands: ${o.focus.join(", ")}.`);
  }
  const slots: Record<Slot, string> = {
    schema_yaml: schema.text.trim(),
    n: String(o.rows),
    name: schema.name,
    cases: cases.join("\n"),
    context: contextText(schema),
    avoid: list("Requests that exist already, to be different from:", o.known) +
      list("Earlier answers broke rules; avoid this:", o.faults),
  };
  return template.replace(
    /\{([a-z_]+)\}/g,
    (whole, name: string) => Object.hasOwn(slots, name) ? slots[name as Slot] : whole,
  );
}

function contextText(schema: AnswerSchema): string {
  const fields = schema.cli?.context ?? [];
  if (fields.length === 0) return "context is always null.";
  const lines = fields.map(({ name, description, examples }) =>
    `- ${name}: ${description || "as the name says"}${
      examples.length > 0 ? `, for example ${examples.slice(0, 3).join(", ")}` : ""
    }`
  );
  return `The context is what the program knows when the request arrives (a dot nests objects):
${lines.join("\n")}
At least a third of the requests with context lean on it: "this", "the current one", "it", or an \
object left out. Then the answer takes the value from the context. The same words with context null \
are a clarification of the kind missing_argument where something required is missing.`;
}
