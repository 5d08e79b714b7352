import { Exit, Fail } from "../../base/fail.ts";
import { parseAnswer } from "../../evaluate/metrics.ts";
import { parseSections } from "../../evaluate/sections.ts";
import type { AnswerSchema } from "../../settings/answer_schema.ts";
import { Grammar, inSections } from "../../text/grammar/constraint.ts";
import { jsonSchema } from "../../text/grammar/json_schema.ts";
import { type Tokens, Vocabulary } from "../../text/grammar/vocabulary.ts";
import { findSchema } from "../data/schemas.ts";

/** --schema: a CLI schema in YAML, a JSON Schema, or the name of a schema. @throws Fail (usage) (data) */
export const schemaOf = (path: string): AnswerSchema => findSchema(path).schema;

/** Vocabularies are ordered once a tokenizer. */
const vocabularies = new WeakMap<Tokens, Vocabulary>();

/**
 * What holds answers to a schema while they are made.
 * @param sections tags around free text before the JSON, the last that of the JSON
 * @param rows logits of the model
 * @throws Fail (usage) naming what of the schema cannot be kept
 */
export function grammarOf(
  schema: Pick<AnswerSchema, "name" | "json">,
  sections: readonly string[],
  tokens: Tokens,
  rows: number,
): Grammar {
  const json = jsonSchema(schema.json, schema.name);
  const vocabulary = vocabularies.get(tokens) ?? new Vocabulary(tokens, rows);
  vocabularies.set(tokens, vocabulary);
  return new Grammar(sections.length === 0 ? json : inSections(sections, json), tokens, vocabulary);
}

/** Whether an answer fits after all: the JSON is read again and checked by another program than the one that held it. */
export function checked(
  text: string,
  { problems }: Pick<AnswerSchema, "problems">,
  sections: readonly string[],
): { readonly _valid: boolean; readonly error?: string } {
  const parsed = sections.length === 0 ? undefined : parseSections(text, sections);
  const value = parsed ? parsed[sections.at(-1)!] : parseAnswer(text)?.value;
  const wrong = parsed?._valid === false
    ? [String(parsed.error)]
    : value === undefined
    ? ["it is not JSON"]
    : problems(value);
  return wrong.length === 0 ? { _valid: true } : { _valid: false, error: wrong.join("; ") };
}

/** @throws Fail (usage) where --constrain has nothing to constrain to */
export function requireSchema({ schema, constrain }: { schema?: string; constrain?: boolean }) {
  if (!constrain || schema !== undefined) return;
  throw new Fail("--constrain holds answers to a schema, and there is none", {
    fix: "add --schema FILE, or leave --constrain out",
    exit: Exit.usage,
  });
}
