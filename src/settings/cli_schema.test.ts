import { describe, expect, test } from "bun:test";
import { Fail } from "../base/fail.ts";
import { answerProblems, findSubcommand, parseCliSchema } from "./cli_schema.ts";

const KITE = `cli_name: kite
commands:
  - name: kite
    aliases: [k]
    subcommands:
      - name: fly
        args:
          - {name: height, type: integer, required: true}
          - {name: where, type: {enum: [beach, hill]}}
          - {name: wind, type: enum, enum: [weak, strong], default: weak}
          - {name: speed, type: number}
          - {name: night, type: bool}
          - {name: note}
        flags:
          - {name: tricks, short: t, natural_language: with tricks}
`;

const fly = (args: unknown, more: Record<string, unknown> = {}) => ({
  type: "command",
  command: "kite",
  subcommand: "fly",
  args,
  flags: [],
  confidence: 0.9,
  ...more,
});

function failure(source: string): Fail {
  try {
    parseCliSchema(source, "kite.yaml");
  } catch (error) {
    if (error instanceof Fail) return error;
    throw error;
  }
  throw new Error("the schema was accepted");
}

describe("parseCliSchema", () => {
  test("reads both spellings of an enum, aliases, shorthand types and single hints", () => {
    const schema = parseCliSchema(KITE, "kite.yaml");
    const [height, where, wind, speed, night, note] = findSubcommand(schema, "kite", "fly")!.args;
    expect(height).toMatchObject({ type: "integer", required: true });
    expect(where).toMatchObject({ type: "enum", values: ["beach", "hill"], required: false });
    expect(wind).toMatchObject({ type: "enum", values: ["weak", "strong"], default: "weak" });
    expect([speed!.type, night!.type, note!.type]).toEqual(["number", "boolean", "string"]);
    expect(schema.commands[0]!.aliases).toEqual(["k"]);
    expect(schema.commands[0]!.subcommands[0]!.flags[0]!.phrases).toEqual(["with tricks"]);
  });

  test("reads JSON, which is YAML", () => {
    const json = '{"cli_name":"a","commands":[{"name":"b","subcommands":[{"name":"c"}]}]}';
    expect(parseCliSchema(json, "a.json").commands[0]!.subcommands[0]!.name).toBe("c");
  });

  test("names every fault with its line and column", () => {
    const why = failure(
      KITE.replace("type: integer", "type: integr").replace("required:", "requird:")
        .replace("default: weak", "default: mild"),
    ).why!;
    expect(why).toContain(
      'kite.yaml:8:13: commands[0].subcommands[0].args[0]: unknown key "requird"',
    );
    expect(why).toContain('did you mean "required"?');
    expect(why).toMatch(/kite\.yaml:8:\d+: commands\[0\]\.subcommands\[0\]\.args\[0\]\.type/);
  });

  test("finds contradictions that a shape cannot show", () => {
    expect(failure(KITE.replace("default: weak", "default: mild")).why).toContain(
      'kite.yaml:10:69: commands[0].subcommands[0].args[2].default: "mild" is not a valid enum',
    );
    expect(failure(KITE.replace("name: note", "name: where")).why).toContain(
      '"where" is here twice',
    );
    expect(failure(KITE.replace("name: note", "name: note, type: enum")).why).toContain(
      "its values",
    );
    expect(failure(KITE.replace("name: note", "name: note, context: day")).why).toContain(
      'no context field "day"',
    );
    const hinted = (hint: string) =>
      KITE.replace("        args:", `        natural_language: ["${hint}"]\n        args:`);
    expect(failure(hinted("go up {heigth}")).why).toContain('did you mean "height"?');
    expect(parseCliSchema(hinted("go up {height}"), "kite.yaml").commands).toHaveLength(1);
  });

  test("reports broken YAML by position", () => {
    const fail = failure("cli_name: kite\ncommands: [\n  {name: a\n");
    expect(fail.exit).toBe(2);
    expect(fail.why).toMatch(/kite\.yaml:\d+:\d+: /);
  });

  test("every shipped schema is valid", async () => {
    let seen = 0;
    for await (const file of new Bun.Glob("schemas/*.yaml").scan(`${import.meta.dir}/../..`)) {
      parseCliSchema(await Bun.file(`${import.meta.dir}/../../${file}`).text(), file);
      seen++;
    }
    expect(seen).toBeGreaterThan(0);
  });
});

describe("answerProblems", () => {
  const schema = parseCliSchema(KITE, "kite.yaml");
  const problems = (answer: unknown) => answerProblems(schema, answer).join("; ");

  test("accepts what the schema allows", () => {
    expect(problems(fly({ height: 30 }))).toBe("");
    expect(problems(fly({ height: 30, where: "hill", speed: 1.5, night: true, note: "x" }))).toBe(
      "",
    );
    expect(problems(fly({ height: 1 }, { flags: ["tricks"] }))).toBe("");
    const suggestions = [{ label: "fly", command: "kite", subcommand: "fly" }];
    const clarification = { type: "clarification", message: "Which one?", suggestions };
    expect(problems({ ...clarification, confidence: 0.6 })).toBe("");
  });

  test.each([
    [fly({}), "required argument height is missing"],
    [fly({ height: "30" }), "height must be of type integer"],
    [fly({ height: 1.5 }), "height must be"],
    [fly({ height: 1, where: "sea" }), "one of beach, hill"],
    [fly({ height: 1, colour: "red" }), 'no argument "colour"'],
    [fly({ height: 1 }, { flags: ["loud"] }), 'no flag "loud"'],
    [fly({ height: 1 }, { flags: ["tricks", "tricks"] }), "twice"],
    [fly({ height: 1 }, { confidence: 1.2 }), "confidence"],
    [fly({ height: 1 }, { subcommand: "land" }), 'no subcommand "land"'],
    [fly({ height: 1 }, { command: "boat" }), 'unknown command "boat"'],
    [fly([1]), "args must be an object"],
    [fly({ height: 1 }, { type: "order" }), "type must be"],
    [{ type: "clarification", message: " ", suggestions: [], confidence: 0.3 }, "needs a message"],
    [
      {
        type: "clarification",
        message: "Which?",
        suggestions: [{ label: "land", command: "kite", subcommand: "land" }],
        confidence: 0.6,
      },
      'unknown "kite" "land"',
    ],
    ["fly", "not a JSON object"],
  ])("refuses %j", (answer, problem) => {
    expect(problems(answer)).toContain(problem);
  });
});
