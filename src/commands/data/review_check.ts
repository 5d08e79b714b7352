import type { NewBatch } from "../../data/review.ts";
import type { SchemaCheck } from "../../data/review_row.ts";
import { parseAnswerSchema } from "../../settings/answer_schema.ts";
import { readRow } from "../../teachers/accept.ts";

/** The rules that rows of a batch are generated under, for those that a person edits or brings. */
export function schemaCheck(schema: NewBatch["schema"]): SchemaCheck | undefined {
  if (!schema) return undefined;
  const parsed = parseAnswerSchema(schema.text, `schema.${schema.kind}`);
  return (row, text) => {
    if (row.kind === "triplet" || row.answer === undefined) return undefined;
    if (row.form === "clitron") {
      const read = readRow(parsed, text, "");
      return "why" in read ? read.why : undefined;
    }
    let answer: unknown;
    try {
      answer = JSON.parse(row.answer);
    } catch {
      return "the answer is not valid JSON";
    }
    return parsed.problems(answer).join("; ") || undefined;
  };
}
