import { z } from "zod";
import { Exit, Fail } from "../base/fail.ts";
import { answerProblems, parseCliSchema } from "../settings/cli_schema.ts";
import { readText } from "./io.ts";

/** What a schema finds wrong with an answer. */
export type Problems = (answer: unknown) => readonly string[];

/** --schema: a CLI schema in YAML, or a JSON Schema. @throws Fail (usage) (data) */
export function problemsOf(path: string): Problems {
  const text = readText(path, "the schema");
  if (!path.endsWith(".json")) {
    const schema = parseCliSchema(text, path);
    return (answer) => answerProblems(schema, answer);
  }
  try {
    const schema = z.fromJSONSchema(JSON.parse(text));
    return (answer) => schema.safeParse(answer).error?.issues.map(({ message }) => message) ?? [];
  } catch (error) {
    throw new Fail(`${path} is not a JSON Schema that can be read`, {
      why: String(error),
      fix: "whet reads JSON Schema 2020-12 and CLI schemas in YAML",
      exit: Exit.usage,
      cause: error,
    });
  }
}
