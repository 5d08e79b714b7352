import { existsSync } from "node:fs";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { columns, excerpt, thousands } from "../../base/text.ts";
import { type AdversarialKind, type AdversarialRow, CCP_SUITE } from "../../data/adversarial.ts";
import type { AnswerSchema } from "../../settings/answer_schema.ts";
import { adversarialSettings } from "../../settings/data_adversarial.ts";
import { adversarial } from "../../teachers/adversarial.ts";
import { command } from "../command.ts";
import { findSchema } from "./schemas.ts";

export const dataAdversarial = command({
  examples: [
    "whet data adversarial --schema gh -o adv.jsonl",
    "whet data adversarial --schema ./my-tool.yaml -n 300 --seed 7 -o adv.jsonl",
    "whet data adversarial -o ccp.jsonl",
  ],
  details:
    "Requests that a model which understands answers otherwise than one that repeats patterns: single " +
    "words, made-up terms, other domains, orders to the model, the six kinds that cannot be carried out, " +
    "requests that lean on a context with it and without it, and pairs that differ in a word and must " +
    'differ in the answer. A row is {"id","kind","instruction","context","expect","why"}; expect says ' +
    "what a good answer does. No model and no network: the same schema and seed give the same rows.",
  settings: adversarialSettings,
  async run({ schema: given, num, output, seed, force }, io) {
    if (existsSync(output) && !force) {
      throw new Fail(`${output} is there already`, {
        fix: "name another file with -o, or --force to write over it",
        exit: Exit.usage,
      });
    }
    const rows = given === undefined
      ? CCP_SUITE.slice(0, num)
      : adversarialRows(findSchema(given).schema, num, seed);
    await writeFile(output, rows.map((row) => JSON.stringify(row) + "\n"));
    const kinds = new Map<AdversarialKind, AdversarialRow[]>();
    for (const row of rows) kinds.set(row.kind, [...kinds.get(row.kind) ?? [], row]);
    io.out(columns([
      ["rows", thousands(rows.length), output],
      ...[...kinds].map(([kind, those]) => [
        kind.replaceAll("_", " "),
        thousands(those.length),
        excerpt(those[0]!.instruction, 60),
      ]),
    ], [1]));
    if (given !== undefined && rows.length < num) {
      io.note(`${given} gives no more than these that differ`);
    }
    const counts = Object.fromEntries([...kinds].map(([kind, those]) => [kind, those.length]));
    io.result({ output, rows: rows.length, kinds: counts });
  },
});

/**
 * The rows of a schema: the tests of the CCP trainings that hold for any program, and those made of its
 * words, both rows of a pair or none.
 */
export function adversarialRows(schema: AnswerSchema, num: number, seed: number): AdversarialRow[] {
  const rows: AdversarialRow[] = CCP_SUITE.filter(({ pair }) => pair === undefined).slice(0, num);
  const numbers = new Map<string, number>();
  for (const trials of adversarial(schema, seed)) {
    if (rows.length >= num) break;
    if (rows.length + trials.length > num) continue;
    const kind = trials[0].kind as AdversarialKind;
    const n = (numbers.get(kind) ?? 0) + 1;
    numbers.set(kind, n);
    const pair = `${kind}-${n}`;
    if (trials.length === 1) rows.push({ id: pair, ...trials[0], kind });
    else {
      trials.forEach((trial, i) =>
        rows.push({
          id: `${pair}-${"ab"[i]}`,
          ...trial,
          kind,
          pair,
          expect: { ...trial.expect, differs_from: `${pair}-${"ba"[i]}` },
        })
      );
    }
  }
  return rows;
}
