import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseCliSchema } from "../settings/cli_schema.ts";
import { reasoningTask, templateChain } from "./reasoning.ts";

const path = join(import.meta.dir, "../../schemas/garden.yaml");
const garden = parseCliSchema(readFileSync(path, "utf8"), path);
const soak = (args: object, flags: string[] = []) => ({
  type: "command",
  command: "bed",
  subcommand: "soak",
  args,
  flags,
  confidence: 0.9,
});

describe("chains by template", () => {
  test("which words carry which value", () => {
    expect(templateChain(garden, "water the north bed gently", soak({ bed: "north" }, ["gentle"])))
      .toBe(
        "- 'water the' asks for bed soak: water a bed\n- 'north' gives the bed\n" +
          "- 'gently' asks for the flag gentle\n- nothing is said about minutes, so it is left out",
      );
  });

  test("what the context says, and what nothing says", () => {
    const asked = 'hose this bed\n{"bed":"pond"}';
    expect(templateChain(garden, asked, soak({ bed: "pond" })))
      .toContain("'this bed' stands for the bed that the context has, pond");
    expect(templateChain(garden, "hose it", soak({ bed: "pond" })))
      .toContain("no word of the request says the bed; pond is inferred");
  });

  test("a question back", () => {
    const message = { type: "clarification", message: "?", suggestions: [], confidence: 0.3 };
    expect(templateChain(garden, "play jazz", message))
      .toStartWith("- nothing in 'play jazz' names anything that garden does");
  });

  test("fields without a schema; scores are no fields", () => {
    expect(
      templateChain(undefined, "risk this quarter", {
        time_horizon: "this_quarter",
        motion: "churn_prevention",
        confidence_scores: { role: 0.6 },
      }),
    ).toBe(
      "- 'this quarter' in the request gives the time horizon\n" +
        "- no word of 'risk this quarter' says these, so they are assumed: motion (churn prevention)",
    );
  });
});

test("what a teacher brings: lines in one form, tags and flaws refused", () => {
  const task = reasoningTask(
    undefined,
    ({ reasoning }) => reasoning.includes("bad") ? "bad" : undefined,
  );
  const item = { id: "0a1b2c3d", prompt: "soak", answer: { a: 1 } };
  expect(task.prompt([item], ["be brief"])).toContain(
    '{"id":"0a1b2c3d","prompt":"soak","json":{"a":1}}',
  );
  const read = (reasoning: unknown) => task.read(item, { reasoning } as never);
  expect(read("* one\n\n2. two")).toEqual({ text: "- one\n- two" });
  expect(read(["- one", "two"])).toEqual({ text: "- one\n- two" });
  expect(read("- </reasoning>")).toEqual({ why: "reasoning holds tags" });
  expect(read("bad")).toEqual({ why: "bad" });
  expect(read(" ")).toEqual({ why: "no reasoning" });
});
