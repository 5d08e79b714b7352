import { LineCounter, parseDocument } from "yaml";
import { z } from "zod";
import { Exit, Fail } from "../base/fail.ts";
import { suggest } from "../base/text.ts";

/**
 * A command line described in YAML: what a model is trained to speak. The shape is that of the CLI
 * schemas of the clitron pipeline, in both its spellings of enumerations, with optional hints on how
 * people say things. See schemas/*.yaml.
 */
export interface CliSchema {
  readonly name: string;
  readonly description: string;
  /** Facts about the user's situation that a request may come with. */
  readonly context: readonly ContextField[];
  readonly commands: readonly Command[];
}

export interface ContextField {
  /** Key in the context object; dots nest: "git.current_branch". */
  readonly name: string;
  readonly description: string;
  /** As the program gives them: numbers and truth values stay what they are. */
  readonly examples: readonly (string | number | boolean)[];
}

export interface Command {
  readonly name: string;
  readonly description: string;
  readonly aliases: readonly string[];
  readonly subcommands: readonly Subcommand[];
}

export interface Subcommand {
  readonly name: string;
  readonly description: string;
  readonly aliases: readonly string[];
  /** Ways to ask for it; `{arg}` marks where an argument's value stands. */
  readonly phrases: readonly string[];
  readonly args: readonly Arg[];
  readonly flags: readonly Flag[];
}

export type ArgType = "string" | "integer" | "number" | "boolean" | "enum";

export interface Arg {
  readonly name: string;
  readonly type: ArgType;
  /** The allowed values of an enum, else empty. */
  readonly values: readonly string[];
  readonly required: boolean;
  readonly default?: string | number | boolean;
  readonly description: string;
  readonly aliases: readonly string[];
  /** Sample values for generated requests. */
  readonly examples: readonly (string | number)[];
  /** How a request mentions it; `{}` marks the value: "in the {} drawer". */
  readonly phrases: readonly string[];
  /** The context field that fills it when the request says "this" or "here". */
  readonly context?: string;
  /** How a request points at the context field's value: "this drawer". */
  readonly pointers: readonly string[];
}

export interface Flag {
  readonly name: string;
  readonly short?: string;
  readonly description: string;
  readonly aliases: readonly string[];
  /** How a request asks for it: "quietly". */
  readonly phrases: readonly string[];
}

const text = z.string().trim().min(1);
const texts = z.union([text.transform((one) => [one]), z.array(text)]).default([]);
const scalar = z.union([z.string(), z.number(), z.boolean()]);
const words = z.array(z.union([z.string(), z.number(), z.boolean()]).transform(String)).min(1);

const ARG_TYPES: Record<string, ArgType> = {
  string: "string",
  str: "string",
  text: "string",
  integer: "integer",
  int: "integer",
  number: "number",
  float: "number",
  boolean: "boolean",
  bool: "boolean",
  enum: "enum",
};

const argFile = z.strictObject({
  name: text,
  type: z.union([
    z.enum(Object.keys(ARG_TYPES) as [string, ...string[]]),
    z.strictObject({ enum: words }),
  ]).default("string"),
  enum: words.optional(),
  values: words.optional(),
  choices: words.optional(),
  required: z.boolean().default(false),
  default: scalar.nullish(),
  description: z.string().default(""),
  aliases: texts,
  examples: z.array(z.union([z.string(), z.number()])).default([]),
  natural_language: texts,
  context: text.optional(),
  pointers: texts,
});

const flagFile = z.strictObject({
  name: text,
  short: z.string().nullish(),
  description: z.string().default(""),
  aliases: texts,
  natural_language: texts,
  type: z.literal(["boolean", "bool"]).optional(),
  default: z.boolean().optional(),
});

const subcommandFile = z.strictObject({
  name: text,
  description: z.string().default(""),
  aliases: texts,
  natural_language: texts,
  args: z.array(argFile).nullish().transform((list) => list ?? []),
  flags: z.array(flagFile).nullish().transform((list) => list ?? []),
});

const commandFile = z.strictObject({
  name: text,
  description: z.string().default(""),
  aliases: texts,
  subcommands: z.array(subcommandFile, "a command needs a list of subcommands").min(
    1,
    "a command needs at least one subcommand",
  ),
});

/** The YAML file as written; also the source of its published JSON Schema. */
export const cliSchemaFile = z.strictObject({
  $schema: z.string().optional(),
  cli_name: text,
  version: scalar.optional(),
  description: z.string().default(""),
  context: z.array(z.strictObject({
    name: text,
    description: z.string().default(""),
    examples: z.array(scalar).default([]),
  })).default([]),
  commands: z.array(commandFile, "a schema needs a list of commands").min(
    1,
    "a schema needs at least one command",
  ),
});

type Path = readonly PropertyKey[];
interface Problem {
  readonly path: Path;
  readonly message: string;
}

/**
 * Reads a CLI schema from YAML or JSON text.
 *
 * @param file name for error messages
 * @throws Fail (exit 2) naming every problem with file:line:column, at most 20 of them
 */
export function parseCliSchema(source: string, file: string): CliSchema {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    throw invalid(file, document.errors.map((error) => `${at(error.pos[0])}: ${error.message}`));
  }
  const parsed = cliSchemaFile.safeParse(document.toJS({ maxAliasCount: 100 }));
  const problems = parsed.success
    ? contradictions(parsed.data)
    : parsed.error.issues.map((issue) => ({ path: issue.path, message: explain(issue) }));
  if (!parsed.success || problems.length > 0) {
    const where = (path: Path): string => {
      for (let depth = path.length; depth > 0; depth--) {
        const node = document.getIn(path.slice(0, depth), true);
        if (node && typeof node === "object" && "range" in node && Array.isArray(node.range)) {
          return at(node.range[0]);
        }
      }
      return at(0);
    };
    throw invalid(file, problems.map((p) => `${where(p.path)}: ${dotted(p.path)}${p.message}`));
  }
  return normalise(parsed.data);
}

/** The subcommand that an answer names, if the schema has it. */
export function findSubcommand(
  schema: CliSchema,
  command: unknown,
  subcommand: unknown,
): Subcommand | undefined {
  return schema.commands.find((c) => c.name === command)?.subcommands
    .find((s) => s.name === subcommand);
}

/**
 * What is wrong with a model's answer, measured against the schema: shape, names, argument types,
 * missing required arguments. Empty when the answer is valid.
 */
export function answerProblems(schema: CliSchema, answer: unknown): string[] {
  if (!isRecord(answer)) return ["the answer is not a JSON object"];
  const problems: string[] = [];
  const { confidence } = answer;
  if (typeof confidence !== "number" || !(confidence >= 0 && confidence <= 1)) {
    problems.push(`confidence must be a number from 0 to 1, got ${JSON.stringify(confidence)}`);
  }
  if (answer.type === "command") return [...problems, ...commandProblems(schema, answer)];
  if (answer.type === "clarification") {
    return [...problems, ...clarificationProblems(schema, answer)];
  }
  return [...problems, `type must be "command" or "clarification", got ${show(answer.type)}`];
}

function commandProblems(schema: CliSchema, answer: Record<string, unknown>): string[] {
  const command = schema.commands.find((c) => c.name === answer.command);
  if (!command) return [`unknown command ${show(answer.command)}`];
  const subcommand = command.subcommands.find((s) => s.name === answer.subcommand);
  if (!subcommand) return [`${command.name} has no subcommand ${show(answer.subcommand)}`];
  const problems: string[] = [];
  const args = answer.args ?? {};
  if (!isRecord(args)) problems.push(`args must be an object, got ${show(args)}`);
  else {
    for (const [name, value] of Object.entries(args)) {
      const arg = subcommand.args.find((a) => a.name === name);
      if (!arg) problems.push(`${subcommand.name} has no argument ${show(name)}`);
      else if (!fits(arg, value)) {
        const wanted = arg.type === "enum"
          ? `one of ${arg.values.join(", ")}`
          : `of type ${arg.type}`;
        problems.push(`argument ${name} must be ${wanted}, got ${show(value)}`);
      }
    }
    for (const arg of subcommand.args) {
      if (arg.required && !Object.hasOwn(args, arg.name)) {
        problems.push(`required argument ${arg.name} is missing`);
      }
    }
  }
  const flags = answer.flags ?? [];
  if (!Array.isArray(flags)) problems.push(`flags must be an array, got ${show(flags)}`);
  else {
    for (const flag of flags) {
      if (!subcommand.flags.some((f) => f.name === flag)) {
        problems.push(`${subcommand.name} has no flag ${show(flag)}`);
      }
    }
    if (new Set(flags).size < flags.length) problems.push("a flag is given twice");
  }
  return problems;
}

function clarificationProblems(schema: CliSchema, answer: Record<string, unknown>): string[] {
  const problems: string[] = [];
  if (typeof answer.message !== "string" || answer.message.trim() === "") {
    problems.push("a clarification needs a message");
  }
  if (!Array.isArray(answer.suggestions)) return [...problems, "suggestions must be an array"];
  for (const suggestion of answer.suggestions) {
    if (!isRecord(suggestion) || typeof suggestion.label !== "string") {
      problems.push(`a suggestion needs a label, got ${show(suggestion)}`);
    } else if (!findSubcommand(schema, suggestion.command, suggestion.subcommand)) {
      problems.push(
        `suggestion names unknown ${show(suggestion.command)} ${show(suggestion.subcommand)}`,
      );
    }
  }
  return problems;
}

function fits(arg: Arg, value: unknown): boolean {
  switch (arg.type) {
    case "string":
      return typeof value === "string";
    case "integer":
      return Number.isSafeInteger(value);
    case "number":
      return typeof value === "number" && Number.isFinite(value);
    case "boolean":
      return typeof value === "boolean";
    case "enum":
      return typeof value === "string" && arg.values.includes(value);
  }
}

/** What zod cannot see: duplicates, defaults of the wrong type, hints that name nothing. */
function contradictions(file: z.infer<typeof cliSchemaFile>): Problem[] {
  const problems: Problem[] = [];
  const unique = (list: readonly { name: string }[], path: Path) => {
    const seen = new Set<string>();
    list.forEach(({ name }, i) => {
      if (seen.has(name)) {
        problems.push({ path: [...path, i, "name"], message: `"${name}" is here twice` });
      }
      seen.add(name);
    });
  };
  const fields = file.context.map((field) => field.name);
  unique(file.context, ["context"]);
  unique(file.commands, ["commands"]);
  file.commands.forEach((command, c) => {
    unique(command.subcommands, ["commands", c, "subcommands"]);
    command.subcommands.forEach((subcommand, s) => {
      const here = ["commands", c, "subcommands", s];
      unique(subcommand.args, [...here, "args"]);
      unique(subcommand.flags, [...here, "flags"]);
      subcommand.args.forEach((raw, a) => {
        const arg = normaliseArg(raw);
        const path = [...here, "args", a];
        if (arg.type === "enum" && arg.values.length === 0) {
          problems.push({ path, message: "an enum needs its values: `enum: [first, second]`" });
        } else if (arg.default !== undefined && !fits(arg, arg.default)) {
          const message = `${show(arg.default)} is not a valid ${arg.type}`;
          problems.push({ path: [...path, "default"], message });
        }
        if (arg.context !== undefined && !fields.includes(arg.context)) {
          const message = `no context field "${arg.context}"${didYouMean(arg.context, fields)}`;
          problems.push({ path: [...path, "context"], message });
        }
        for (const [p, phrase] of arg.phrases.entries()) {
          if (phrase.split("{}").length !== 2) {
            const message = `"${phrase}" must hold {} once, where the value stands`;
            problems.push({ path: [...path, "natural_language", p], message });
          }
        }
      });
      const names = subcommand.args.map((arg) => arg.name);
      for (const [p, phrase] of subcommand.natural_language.entries()) {
        for (const [, name] of phrase.matchAll(/\{([^}]*)\}/g)) {
          if (names.includes(name!)) continue;
          const message = `"{${name}}" is no argument of ${subcommand.name}${
            didYouMean(name!, names)
          }`;
          problems.push({ path: [...here, "natural_language", p], message });
        }
      }
    });
  });
  return problems;
}

function normalise(file: z.infer<typeof cliSchemaFile>): CliSchema {
  return {
    name: file.cli_name,
    description: file.description,
    context: file.context,
    commands: file.commands.map((command) => ({
      ...command,
      subcommands: command.subcommands.map(({ natural_language, args, flags, ...rest }) => ({
        ...rest,
        phrases: natural_language,
        args: args.map(normaliseArg),
        flags: flags.map((flag) => ({
          name: flag.name,
          ...(flag.short ? { short: flag.short } : {}),
          description: flag.description,
          aliases: flag.aliases,
          phrases: flag.natural_language,
        })),
      })),
    })),
  };
}

function normaliseArg(file: z.infer<typeof argFile>): Arg {
  const listed = file.enum ?? file.values ?? file.choices ??
    (typeof file.type === "object" ? file.type.enum : []);
  const type = listed.length > 0 || typeof file.type === "object" ? "enum" : ARG_TYPES[file.type]!;
  return {
    name: file.name,
    type,
    values: listed,
    required: file.required,
    ...(file.default === null || file.default === undefined ? {} : { default: file.default }),
    description: file.description,
    aliases: file.aliases,
    examples: file.examples,
    phrases: file.natural_language,
    ...(file.context ? { context: file.context } : {}),
    pointers: file.pointers,
  };
}

function explain(issue: z.core.$ZodIssue): string {
  if (issue.code !== "unrecognized_keys") return issue.message;
  const level = issue.path.at(-2) ?? "";
  const shape = level === "args"
    ? argFile
    : level === "flags"
    ? flagFile
    : level === "subcommands"
    ? subcommandFile
    : level === "commands"
    ? commandFile
    : cliSchemaFile;
  const known = Object.keys(shape.shape);
  return issue.keys.map((key) => `unknown key "${key}"${didYouMean(key, known)}`).join("; ");
}

function didYouMean(word: string, known: readonly string[]): string {
  const near = suggest(word, known);
  return near ? `; did you mean "${near}"?` : "";
}

function invalid(file: string, problems: readonly string[]): Fail {
  const more = problems.length > 20 ? [`… and ${problems.length - 20} more`] : [];
  return new Fail(`${file} is not a valid CLI schema`, {
    why: [...problems.slice(0, 20), ...more].join("\n"),
    fix: "correct the lines named above; schemas/garden.yaml is a complete example",
    exit: Exit.usage,
  });
}

function dotted(path: Path): string {
  const parts = path.map((p) => typeof p === "number" ? `[${p}]` : `.${String(p)}`);
  return path.length === 0 ? "" : `${parts.join("").replace(/^\./, "")}: `;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? "nothing";
}
