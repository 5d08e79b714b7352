import type { Arg, CliSchema, Subcommand } from "./cli_schema.ts";

/** Answers to a CLI schema as a JSON Schema: what `answerProblems` finds nothing wrong with. */
export function cliJsonSchema({ commands }: CliSchema): Record<string, unknown> {
  const confidence = { type: "number", minimum: 0, maximum: 1 };
  const named = commands.flatMap((command) =>
    command.subcommands.map((subcommand) => ({
      subcommand,
      names: { command: { const: command.name }, subcommand: { const: subcommand.name } },
    }))
  );
  return {
    anyOf: [
      ...named.map(({ names, subcommand }) =>
        closed({
          type: { const: "command" },
          ...names,
          args: argsOf(subcommand),
          flags: flagsOf(subcommand),
          confidence,
        }, ["type", "command", "subcommand", ...needsArgs(subcommand), "confidence"])
      ),
      closed({
        type: { const: "clarification" },
        message: { type: "string", nonBlank: true },
        suggestions: {
          type: "array",
          items: {
            anyOf: named.map(({ names }) => closed({ label: { type: "string" }, ...names })),
          },
        },
        confidence,
      }),
    ],
  };
}

const closed = (
  properties: Record<string, unknown>,
  required: readonly string[] = Object.keys(properties),
) => ({ type: "object", properties, required, additionalProperties: false });

/** Arguments may be left out as a whole where none is required. */
const needsArgs = ({ args }: Subcommand) => args.some(({ required }) => required) ? ["args"] : [];

function argsOf({ args }: Subcommand) {
  return closed(
    Object.fromEntries(args.map((arg) => [arg.name, typeOf(arg)])),
    args.filter(({ required }) => required).map(({ name }) => name),
  );
}

const typeOf = ({ type, values }: Arg) => type === "enum" ? { enum: values } : { type };

const flagsOf = ({ flags }: Subcommand) =>
  flags.length === 0
    ? { type: "array", maxItems: 0 }
    : { type: "array", items: { enum: flags.map(({ name }) => name) }, uniqueItems: true };
