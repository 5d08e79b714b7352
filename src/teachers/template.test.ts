import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { answerProblems, parseCliSchema } from "../settings/cli_schema.ts";
import { expand } from "./phrasing.ts";
import { partOf, type RowKind, teach, type TeacherOptions } from "./template.ts";

const read = (name: string) =>
  parseCliSchema(readFileSync(join(import.meta.dir, "../../schemas", name), "utf8"), name);
const garden = read("garden.yaml");

/** A schema without a single hint, as one would write it first. */
const plain = parseCliSchema(
  `cli_name: shop
commands:
  - name: order
    subcommands:
      - name: create
        args:
          - {name: title, required: true}
          - {name: size, type: {enum: [small, large]}}
          - {name: copies, type: integer}
          - {name: gift, type: boolean}
        flags: [{name: express}]
      - {name: cancel, args: [{name: title, required: true}]}
      - {name: list}
`,
  "shop.yaml",
);

const options: TeacherOptions = { rows: 1000, seed: 3, part: "train" };
const train = teach(garden, options);
const held = teach(garden, { ...options, rows: 300, part: "held_out" });
const plainRows = teach(plain, options);

describe("teach", () => {
  test("every answer is valid for its schema and is compact JSON with keys in order", () => {
    for (const [schema, rows] of [[garden, [...train, ...held]], [plain, plainRows]] as const) {
      for (const row of rows) {
        const answer = JSON.parse(row.output);
        expect(answerProblems(schema, answer)).toEqual([]);
        expect(row.output).toBe(JSON.stringify(answer));
        expect(Object.keys(answer)).toEqual(
          answer.type === "command"
            ? ["type", "command", "subcommand", "args", "flags", "confidence"]
            : ["type", "message", "suggestions", "confidence"],
        );
      }
    }
  });

  test("depends on the seed and the index only", () => {
    expect(teach(garden, options)).toEqual(train);
    expect(teach(garden, { ...options, rows: 20 })).toEqual(train.slice(0, 20));
    expect(teach(garden, { ...options, rows: 20, seed: 4 })).not.toEqual(train.slice(0, 20));
  });

  test("no held-out phrasing is used in training", () => {
    const phrasings = new Set(train.map((row) => row.metadata.phrasing));
    expect(phrasings.size).toBeGreaterThan(600);
    expect(held.filter((row) => phrasings.has(row.metadata.phrasing))).toEqual([]);
    for (const row of train) expect(partOf(row.metadata.phrasing, 0.15)).toBe("train");
    for (const row of held) expect(partOf(row.metadata.phrasing, 0.15)).toBe("held_out");
  });

  test("a phrasing holds no values: the request is the phrasing with its slots filled", () => {
    const exact = teach(garden, { ...options, slips: 0 });
    for (const { instruction, metadata } of exact) {
      const pattern = metadata.phrasing.split(/\{[^{}]+\}/).map((part) =>
        part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
      ).join("(.+)");
      expect(instruction).toMatch(new RegExp(`^${pattern}$`, "s"));
    }
  });

  test("held-out rows also use values that training never shows", () => {
    const crops = (rows: typeof train) =>
      new Set(rows.flatMap((row) => JSON.parse(row.output).args?.crop ?? []));
    const seen = crops(train);
    expect([...crops(held)].some((crop) => !seen.has(crop))).toBe(true);
  });

  test("six of ten bring context where there is some, two none, two are negative", () => {
    const negative: readonly RowKind[] = [
      "ambiguous_command",
      "missing_argument",
      "missing_context",
      "unclear_intent",
      "off_topic",
      "multiple_interpretations",
      "ambiguous_typo",
    ];
    const kinds = new Map<RowKind, number>();
    for (const { metadata: { kind } } of train) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    for (const kind of ["plain", "pointer", ...negative] as const) {
      expect(kinds.get(kind) ?? 0).toBeGreaterThan(10);
    }
    expect(train.filter((row) => negative.includes(row.metadata.kind))).toHaveLength(200);
    for (const [i, row] of train.entries()) {
      const clarifies = JSON.parse(row.output).type === "clarification";
      expect(clarifies).toBe(i % 5 === 3);
      if (i % 5 === 1) expect(row.context).toBeNull();
    }
    const withContext = train.filter((row, i) => i % 5 !== 3 && row.context !== null);
    const full = withContext.filter((row) => Object.keys(row.context!).length === 2);
    expect(withContext.length).toBeGreaterThan(450);
    expect(full.length).toBeGreaterThan(100);
    expect(full.length).toBeLessThan(withContext.length - 100);
  });

  test("what is pointed at is resolved with context and asked for without", () => {
    const pointers = train.filter((row) => row.metadata.kind === "pointer");
    for (const { context, output } of pointers) {
      const { args } = JSON.parse(output);
      const known = Object.values(context!) as string[];
      expect(Object.values(args).some((value) => known.includes(value as string))).toBe(true);
    }
    const asked = train.filter((row) => row.metadata.kind === "missing_context");
    for (const { context, output } of asked) {
      expect(context).toBeNull();
      expect(JSON.parse(output).message).toMatch(/^Which (bed|crop)\?$/);
    }
  });

  test("every string value in an answer stands in the request or its context", () => {
    for (const { instruction, context, output } of teach(garden, { ...options, slips: 0 })) {
      const known = `${instruction} ${JSON.stringify(context)}`;
      for (const value of Object.values(JSON.parse(output).args ?? {})) {
        expect(known).toContain(String(value));
      }
    }
  });

  test("a slip changes one word of the template and no value", () => {
    const slipped = teach(garden, { ...options, slips: 1 });
    const exact = teach(garden, { ...options, slips: 0 });
    const differing = slipped.filter((row, i) => row.instruction !== exact[i]!.instruction);
    expect(differing.length).toBeGreaterThan(300);
    for (const { instruction, output } of differing) {
      const text = JSON.parse(output).args?.text;
      if (text) expect(instruction).toContain(`"${text}"`);
    }
    expect(slipped.map((row) => row.output)).toEqual(exact.map((row) => row.output));
  });

  test("a schema without hints is enough: verbs have synonyms, arguments their names", () => {
    const verbs = plainRows.filter((row) => row.output.includes('"create"')).map((r) =>
      r.instruction
    );
    expect(verbs.some((text) => text.includes("make"))).toBe(true);
    expect(verbs.some((text) => text.includes("size small"))).toBe(true);
    expect(plainRows.some((row) => row.output.includes('"flags":["express"]'))).toBe(true);
    expect(plainRows.every((row) => row.context === null)).toBe(true);
  });

  test("nested context follows the dots of its name", () => {
    const git = parseCliSchema(
      `cli_name: git
context: [{name: git.current_branch}, {name: git.dirty, examples: ["yes", "no"]}]
commands:
  - name: branch
    subcommands: [{name: push, args: [{name: branch, required: true, context: git.current_branch}]}]
`,
      "git.yaml",
    );
    const rows = teach(git, { ...options, rows: 50 }).filter((row) =>
      row.metadata.kind === "pointer"
    );
    expect(rows.length).toBeGreaterThan(3);
    for (const { context, output } of rows) {
      const { current_branch } = context!.git as Record<string, string>;
      expect(JSON.parse(output).args.branch).toBe(current_branch);
    }
  });
});

test("expand writes alternatives out and leaves other parentheses alone", () => {
  expect(expand("(a|b) x (|c)")).toEqual(["a x ", "a x c", "b x ", "b x c"]);
  expect(expand("f(x) is (g|h)")).toEqual(["f(x) is g", "f(x) is h"]);
  expect(expand("plain")).toEqual(["plain"]);
});
