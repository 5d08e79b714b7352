import { Exit, Fail } from "../base/fail.ts";
import type { AnswerSchema } from "../settings/answer_schema.ts";
import { groupOf } from "./mix.ts";
import { rowsOf, type TaughtRow } from "./template.ts";
import { type Case, NEGATIVE, type Teacher } from "./teacher.ts";

/** Indices that belong to one call: a whole number of turns through the mix and the negative cases. */
const STRIDE = 30_000;

/** Rows drawn one after another that were there already, after which the schema has no others. */
const DRY = 2000;

/**
 * The teacher that needs no model and no network: templates filled from the schema. What a call brings
 * depends on the seed, the number of the call and the rows that are there already.
 * @throws Fail (usage) for a JSON Schema, which says nothing about how people ask
 */
export function templateTeacher(schema: AnswerSchema, seed: number): Teacher {
  const { cli } = schema;
  if (!cli) {
    throw new Fail(`the template teacher cannot write rows for ${schema.name}`, {
      why: "it makes requests from a CLI schema; a JSON Schema does not say how people ask",
      fix: "use --teacher anthropic, openai:MODEL or local:DIR, or --emit-prompts DIR",
      exit: Exit.usage,
    });
  }
  const row = rowsOf(cli, { seed, part: "train", heldOut: 0 });
  return {
    name: "template",
    paid: false,
    ask(batch) {
      const left = new Map<string, number>();
      for (const { case: one, count } of batch.wanted) {
        const group = groupOf(one);
        left.set(group, (left.get(group) ?? 0) + count);
      }
      const rows: unknown[] = [];
      const here = new Set<string>();
      for (let i = 0, dry = 0; i < STRIDE && dry < DRY && rows.length < batch.rows; i++, dry++) {
        const { instruction, context, output, metadata } = row(batch.call * STRIDE + i);
        const one = caseOf(metadata.kind, context);
        const group = groupOf(one);
        const key = `${instruction.toLowerCase()}\n${JSON.stringify(context)}`;
        const fresh = (left.get(group) ?? 0) > 0 && !here.has(key) &&
          !batch.has(instruction, context);
        if (!fresh) continue;
        left.set(group, left.get(group)! - 1);
        here.add(key);
        dry = 0;
        rows.push({ input: instruction, context, output: JSON.parse(output), case: one });
      }
      return Promise.resolve({ text: JSON.stringify(rows) });
    },
  };
}

function caseOf(kind: TaughtRow["metadata"]["kind"], context: unknown): Case {
  if (kind === "plain" || kind === "pointer") return context ? "full_context" : "no_context";
  return NEGATIVE.find((name) => name === kind) ?? "missing_argument";
}
