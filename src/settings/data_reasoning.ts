import { z } from "zod";
import { field, path, whole } from "./field.ts";
import { budgetFields, callFields, drawFields, handFields } from "./teacher.ts";

/** Settings of whet data reasoning. */
export const reasoningSettings = z.strictObject({
  input: field(path(), {
    group: "Main",
    aliases: ["data"],
    value: "FILE",
    positional: 0,
    help: "rows of a request and the JSON that answers it",
  }),
  output: field(path().optional(), {
    group: "Main",
    short: "o",
    aliases: ["out"],
    value: "FILE",
    help: "the rows with their reasoning",
    otherwise: "FILE_with_reasoning.jsonl",
  }),
  preview: field(whole(1).max(1000).optional(), {
    group: "Main",
    value: "N",
    help: "show the reasoning of the first N rows and write nothing",
    excludes: ["check"],
  }),
  check: field(z.boolean().default(false), {
    group: "Main",
    help: "judge the reasoning that the rows have, and write nothing",
    excludes: ["preview"],
  }),
  teacher: field(z.string().min(1).default("template"), {
    group: "Main",
    value: "T",
    help: "who reasons: template (no model: which words carry which value), anthropic[:MODEL], " +
      "openai:MODEL (any server that speaks like it), local:DIR, or manual",
  }),
  schema: field(path().optional(), {
    group: "Main",
    value: "S",
    help: "a schema's name or file, which tells what answers mean",
  }),
  force: field(z.boolean().default(false), {
    group: "Main",
    help: "begin afresh, whatever is there",
  }),
  estimate: field(z.boolean().default(false), {
    group: "Main",
    help: "say how many calls and tokens it takes and what it costs, and send nothing",
  }),
  batch: field(whole(1).max(200).default(10), {
    group: "Teacher",
    value: "N",
    help: "rows in a call",
  }),
  ...callFields,
  ...drawFields("300 a row and 1,000", "of a local teacher"),
  ...budgetFields,
  ...handFields,
});

export type ReasoningSettings = z.output<typeof reasoningSettings>;
