import type { AnswerSchema } from "../settings/answer_schema.ts";
import { type Case, NEGATIVE } from "./teacher.ts";

/** What is counted against the mix: full and partial contexts together, the negatives together. */
export type Group = "with_context" | "without_context" | "negative" | "answer";

export function groupOf(one: Case): Group {
  if (one === "full_context" || one === "partial_context") return "with_context";
  if (one === "no_context") return "without_context";
  return one === "answer" ? "answer" : "negative";
}

/**
 * Rows of each group in a data set of so many: of ten requests six bring context, two bring none, two
 * cannot be carried out. A schema without context fields has eight without; a JSON Schema has one group.
 */
export function mixOf(schema: AnswerSchema, rows: number): Record<Group, number> {
  const none = { with_context: 0, without_context: 0, negative: 0, answer: 0 };
  if (!schema.cli) return { ...none, answer: rows };
  const negative = Math.round(rows * 0.2);
  const with_context = schema.cli.context.length > 0
    ? Math.min(rows - negative, Math.round(rows * 0.6))
    : 0;
  return { ...none, with_context, negative, without_context: rows - negative - with_context };
}

/**
 * What the next call is to bring: a share of everything still missing.
 * @param missing rows that neither are there nor are being asked for
 * @param turn number of the call, by which the six negative cases take turns
 */
export function wantedOf(
  missing: Readonly<Record<Group, number>>,
  batch: number,
  turn: number,
): { readonly case: Case; readonly count: number }[] {
  const all = Object.values(missing).reduce((sum, n) => sum + n, 0);
  const rows = Math.min(batch, all);
  const shares = (Object.entries(missing) as [Group, number][]).map(([group, n]) => {
    const exact = all === 0 ? 0 : (n * rows) / all;
    return { group, count: Math.floor(exact), rest: exact - Math.floor(exact) };
  });
  let left = rows - shares.reduce((sum, { count }) => sum + count, 0);
  for (const share of [...shares].sort((a, b) => b.rest - a.rest)) {
    if (left-- > 0) share.count++;
  }
  const cases = new Map<Case, number>();
  const add = (one: Case, n: number) => n > 0 && cases.set(one, (cases.get(one) ?? 0) + n);
  for (const { group, count } of shares) {
    if (group === "with_context") {
      const full = Math.ceil(count * 0.6);
      add("full_context", full);
      add("partial_context", count - full);
    } else if (group === "without_context") add("no_context", count);
    else if (group === "answer") add("answer", count);
    else for (let i = 0; i < count; i++) add(NEGATIVE[(turn * count + i) % NEGATIVE.length]!, 1);
  }
  return [...cases].map(([one, count]) => ({ case: one, count }));
}
