import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ADVERSARIAL_KINDS, readAdversarial } from "../../data/adversarial.ts";
import { parseAnswerSchema } from "../../settings/answer_schema.ts";
import { answerProblems, findSubcommand } from "../../settings/cli_schema.ts";
import { adversarialRows } from "./adversarial.ts";

const load = (name: string) => {
  const path = join(import.meta.dir, `../../../schemas/${name}.yaml`);
  return parseAnswerSchema(readFileSync(path, "utf8"), path);
};

describe.each(["garden", "gh", "git"])("%s", (name) => {
  const schema = load(name), rows = adversarialRows(schema, 200, 3);

  test("every kind is there, every row can be read, none twice", () => {
    expect(rows).toHaveLength(200);
    expect(new Set(rows.map(({ kind }) => kind))).toEqual(new Set(ADVERSARIAL_KINDS));
    for (const row of rows) expect(readAdversarial(JSON.parse(JSON.stringify(row)))).toEqual(row);
    expect(new Set(rows.map(({ id }) => id)).size).toBe(200);
    const asked = rows.map(({ instruction, context }) => instruction + JSON.stringify(context));
    expect(new Set(asked).size).toBe(200);
  });

  test("answers that are expected fit the schema, and so do suggestions", () => {
    const cli = schema.cli!;
    for (const { expect: { equals, suggests = [] } } of rows) {
      if (equals) expect(answerProblems(cli, { ...equals, confidence: 0.9 })).toEqual([]);
      for (const one of suggests) {
        const [command, ...rest] = one.split(" ");
        expect(findSubcommand(cli, command, rest.join(" "))).toBeDefined();
      }
    }
  });

  test("pairs stand together, name each other, and want different answers", () => {
    const pairs = rows.filter(({ pair }) => pair !== undefined);
    expect(pairs.length).toBeGreaterThan(40);
    for (const [i, row] of rows.entries()) {
      if (row.pair === undefined) continue;
      const other = [rows[i - 1], rows[i + 1]].find((one) => one?.pair === row.pair)!;
      expect(row.expect.differs_from).toBe(other.id);
      expect(JSON.stringify(row.expect.equals)).not.toBe(JSON.stringify(other.expect.equals));
      if (row.kind === "context") expect(row.instruction).toBe(other.instruction);
      else expect(row.context).toBe(other.context);
    }
  });

  test("the seed decides", () => {
    // The last one may differ: a pair is written whole or not at all.
    expect(adversarialRows(schema, 60, 3).slice(0, 59)).toEqual(rows.slice(0, 59));
    const other = adversarialRows(schema, 60, 4).map(({ instruction }) => instruction);
    expect(other).not.toEqual(rows.slice(0, 60).map(({ instruction }) => instruction));
  });
});

test("a JSON Schema gives what its names and values give", () => {
  const text = JSON.stringify({
    type: "object",
    properties: { intent_type: { enum: ["churn_risk", "account_discovery"] } },
  });
  const rows = adversarialRows(parseAnswerSchema(text, "intent.json"), 40, 1);
  expect(rows).toHaveLength(40);
  expect(
    rows.some(({ kind, instruction }) => kind === "minimal" && /churn risk/i.test(instruction)),
  )
    .toBe(true);
  for (const row of rows) expect("problem" in readAdversarial(row)).toBe(false);
});

test("a schema with next to nothing in it gives fewer rows, and no error", () => {
  const schema = parseAnswerSchema(
    "cli_name: lamp\ncommands: [{name: lamp, subcommands: [{name: light}]}]\n",
    "lamp.yaml",
  );
  const rows = adversarialRows(schema, 100_000, 1);
  expect(rows.length).toBeGreaterThan(20);
  expect(rows.length).toBeLessThan(100_000);
});
