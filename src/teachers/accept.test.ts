import { describe, expect, test } from "bun:test";
import { parseAnswerSchema } from "../settings/answer_schema.ts";
import { objectsIn, readRow, requestKey } from "./accept.ts";
import { type Group, groupOf, mixOf, wantedOf } from "./mix.ts";

const schema = parseAnswerSchema(
  `cli_name: lamp
context:
  - {name: room.name}
  - {name: room.dark, examples: [true]}
commands:
  - name: lamp
    subcommands:
      - name: light
        args: [{name: room, required: true}, {name: level, type: integer}]
        flags: [{name: slowly}]
`,
  "lamp.yaml",
);
const command = (more = {}, args: unknown = { level: 3, room: "hall" }) => ({
  confidence: 0.9,
  args,
  subcommand: "light",
  command: "lamp",
  type: "command",
  ...more,
});
const ask = (more = {}) => ({
  type: "clarification",
  message: "Where?",
  suggestions: [{ subcommand: "light", label: "Light", command: "lamp", note: 1 }],
  confidence: 0.6,
  ...more,
});
const read = (row: Record<string, unknown>) => readRow(schema, JSON.stringify(row), "t");
const why = (row: Record<string, unknown>) => (read(row) as { why: string }).why;

describe("readRow", () => {
  test("keys come in one order, and the case from the row itself", () => {
    const row = read({ input: " light the hall ", output: JSON.stringify(command()) });
    expect(row).toEqual({
      instruction: "light the hall",
      context: null,
      output: '{"type":"command","command":"lamp","subcommand":"light",' +
        '"args":{"room":"hall","level":3},"flags":[],"confidence":0.9}',
      metadata: { case: "no_context", teacher: "t" },
    });
    const of = (context: unknown, output: unknown, told?: string) => {
      const row = read({ input: "x", context, output, case: told });
      return "why" in row ? row.why : row.metadata.case;
    };
    expect(of({ room: { name: "hall", dark: false } }, command())).toBe("full_context");
    expect(of({ room: { name: "hall" } }, command(), "full_context")).toBe("partial_context");
    expect(of({}, command())).toBe("no_context");
    expect(of(null, ask(), "ambiguous_typo")).toBe("ambiguous_typo");
    expect(of(null, ask(), "no_context")).toBe("unclear_intent");
    expect((read({ input: "x", output: ask() }) as { output: string }).output).toContain(
      '"suggestions":[{"label":"Light","command":"lamp","subcommand":"light"}]',
    );
  });

  test.each([
    [{ output: command() }, "no input"],
    [{ input: "  ", output: command() }, "no input"],
    [{ input: "x".repeat(5000), output: command() }, "longer than"],
    [{ input: "x", output: "{" }, "not valid JSON"],
    [{ input: "x" }, "not a JSON object"],
    [{ input: "x", output: command({ subcommand: "dim" }) }, 'no subcommand "dim"'],
    [{ input: "x", output: command({}, { room: 1 }) }, "must be of type string"],
    [{ input: "x", output: command({}, {}) }, "required argument room is missing"],
    [{ input: "x", output: command({ confidence: 0.5 }) }, "below 0.7 a clarification"],
    [{ input: "x", output: ask({ confidence: 0.8 }) }, "from 0.7 on a command"],
    [{ input: "x", context: "hall", output: command() }, "context must be"],
    [{ input: "x", context: { moon: 1 }, output: command() }, 'no context field "moon"'],
    [{ input: "x", context: { room: { size: 1 } }, output: command() }, '"room.size"'],
  ])("refuses %j", (row, reason) => {
    expect(why(row)).toContain(reason);
  });

  test("refuses what JSON.parse would let through", () => {
    const row = readRow(schema, '{"input": "a", "input": "b", "output": {}}', "t");
    expect((row as { why: string }).why).toContain("not valid JSON");
  });
});

test("objects are found whatever stands around them", () => {
  const [a, b] = ['{"a": "}{ \\" ["}', '{"b": {"c": [1, {"d": 2}]}}'];
  expect(objectsIn(`[${a}, ${b}]`)).toEqual([a!, b!]);
  expect(objectsIn(`Sure! "Here":\n\`\`\`json\n[${a},\n${b}\n]\n\`\`\` and "so" on`)).toEqual([
    a!,
    b!,
  ]);
  expect(objectsIn(`${a}\n${b}`)).toEqual([a!, b!]);
  for (let cut = a!.length + 2; cut < `[${a}, ${b}]`.length - 2; cut++) {
    expect(objectsIn(`[${a}, ${b}]`.slice(0, cut))).toEqual([a!]);
  }
  expect(objectsIn("")).toEqual([]);
});

test("requests that differ in case, space and stops are one", () => {
  expect(requestKey("Light the hall!", null)).toBe(requestKey(" light  the hall", undefined));
  expect(requestKey("light", { a: 1 })).not.toBe(requestKey("light", null));
  expect(requestKey("?!", null)).not.toBe(requestKey("!?", null));
});

describe("the mix", () => {
  test("is 60, 20 and 20 of a hundred, and always sums up", () => {
    expect(mixOf(schema, 100)).toEqual({
      with_context: 60,
      without_context: 20,
      negative: 20,
      answer: 0,
    });
    for (let rows = 1; rows < 60; rows++) {
      const mix = mixOf(schema, rows);
      expect(Object.values(mix).reduce((a, b) => a + b)).toBe(rows);
      expect(Math.min(...Object.values(mix))).toBeGreaterThanOrEqual(0);
    }
  });

  test("calls in a row bring exactly what is missing, every negative case among it", () => {
    for (const [rows, batch] of [[1, 50], [7, 3], [100, 50], [333, 25], [1000, 49]] as const) {
      const left = mixOf(schema, rows), cases = new Set<string>();
      for (let turn = 0; Object.values(left).some((n) => n > 0); turn++) {
        const wanted = wantedOf(left, batch, turn);
        expect(wanted.reduce((sum, { count }) => sum + count, 0)).toBe(
          Math.min(batch, Object.values(left).reduce((a, b) => a + b)),
        );
        for (const { case: one, count } of wanted) {
          left[groupOf(one) as Group] -= count;
          cases.add(one);
        }
        expect(Math.min(...Object.values(left))).toBeGreaterThanOrEqual(0);
      }
      if (rows >= 100) expect(cases.size).toBe(9);
    }
  });
});
