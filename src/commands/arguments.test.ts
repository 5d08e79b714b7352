import { expect, test } from "bun:test";
import { commonSettings } from "../settings/common.ts";
import { fieldsOf } from "../settings/field.ts";
import { pipelineSettings } from "../settings/pipeline.ts";
import { parseArguments } from "./arguments.ts";

const fields = [...fieldsOf(pipelineSettings), ...fieldsOf(commonSettings)];
const given = (...argv: string[]) =>
  Object.fromEntries(
    parseArguments("whet pipeline", fields, argv, true).given.map(({ key, value }) => [key, value]),
  );

test("name=value is a flag, before and behind the name", () => {
  expect(given("gh", "num=5000", "--force", "quant=q8_0"))
    .toEqual({ name: "gh", num: "5000", force: true, quant: "q8_0" });
  expect(given("name=gh", "num_pairs=3")).toEqual({ name: "gh", pairs: "3" });
});

test("the value of a flag is left alone", () => {
  expect(given("gh", "-m", "a=b", "--set", "num=3", "train.lr=1"))
    .toEqual({ name: "gh", model: "a=b", set: ["num=3", "train.lr=1"] });
  expect(given("gh", "--teacher", "local:x=y", "num=4"))
    .toEqual({ name: "gh", teacher: "local:x=y", num: "4" });
});

test("without the rule it is an argument", () => {
  expect(() => parseArguments("whet x", fields, ["gh", "num=3"])).toThrow("unexpected argument");
});
