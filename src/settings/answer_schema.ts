import { LineCounter, parseDocument } from "yaml";
import { z } from "zod";
import { Exit, Fail } from "../base/fail.ts";
import { cliJsonSchema } from "./cli_json_schema.ts";
import { answerProblems, type CliSchema, parseCliSchema } from "./cli_schema.ts";
import { explicitSchema } from "./json_schema.ts";

/** What answers must look like: those of a command line, or any JSON. */
export interface AnswerSchema {
  readonly name: string;
  /** As it is shown to a teacher. */
  readonly text: string;
  /** Of a CLI schema; a JSON Schema has none. */
  readonly cli?: CliSchema;
  /** The same as a JSON Schema. */
  readonly json: unknown;
  /** What is wrong with an answer; empty where it fits. */
  problems(answer: unknown): readonly string[];
}

/**
 * Reads a CLI schema (YAML, or JSON with cli_name) or a JSON Schema (2020-12).
 * @param path for messages; what ends in .json is a JSON Schema unless it has a cli_name
 * @throws Fail (usage) with file:line:column
 */
export function parseAnswerSchema(text: string, path: string): AnswerSchema {
  if (!path.endsWith(".json") || /^\s*\{[^{]*"cli_name"/.test(text)) {
    const cli = parseCliSchema(text, path);
    const problems = (answer: unknown) => answerProblems(cli, answer);
    return { name: cli.name, text, cli, json: cliJsonSchema(cli), problems };
  }
  const lines = new LineCounter();
  // JSON is YAML, and only the YAML reader knows where things stand.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const refuse = (where: string, why: string, cause?: unknown) =>
    new Fail(`${path} is not a JSON Schema that can be read`, {
      why: `${where}${why}`,
      fix: "whet reads JSON Schema 2020-12 and CLI schemas in YAML",
      exit: Exit.usage,
      cause,
    });
  const [broken] = document.errors;
  if (broken) {
    const { line, col } = lines.linePos(broken.pos[0]);
    throw refuse(`${path}:${line}:${col}: `, broken.message);
  }
  try {
    const source = JSON.parse(text);
    const schema = z.fromJSONSchema(explicitSchema(source) as z.core.JSONSchema.JSONSchema);
    return {
      name: path.replace(/^.*[/\\]/, "").replace(/(\.schema)?\.json$/, ""),
      text,
      json: source,
      problems: (answer) =>
        schema.safeParse(answer).error?.issues.map(({ path, message }) =>
          path.length > 0 ? `${path.join(".")}: ${message}` : message
        ) ?? [],
    };
  } catch (error) {
    throw refuse(`${path}:1:1: `, error instanceof Error ? error.message : String(error), error);
  }
}
