import { z } from "zod";
import { field, fraction, path, whole } from "./field.ts";
import { budgetFields, callFields, drawFields, handFields } from "./teacher.ts";

/** Settings of whet data generate. */
export const generateSettings = z.strictObject({
  schema: field(path(), {
    group: "Main",
    value: "SCHEMA",
    positional: 0,
    help: "the name of a schema (schemas/NAME.yaml, or one that is shipped), or a file",
  }),
  num: field(whole(1).max(1_000_000).default(3000), {
    group: "Main",
    short: "n",
    aliases: ["count"],
    value: "N",
    help: "rows, validation rows among them",
  }),
  teacher: field(z.string().min(1).default("template"), {
    group: "Main",
    value: "T",
    help:
      "who writes the rows: template (no model, no network), anthropic[:MODEL], openai:MODEL (any " +
      "server that speaks like it), local:DIR, or manual",
  }),
  output: field(path().optional(), {
    group: "Main",
    short: "o",
    aliases: ["out"],
    value: "FILE",
    help: "the rows that train; validation rows go beside it as FILE_val.jsonl",
    otherwise: "training/data/NAME/train.jsonl",
  }),
  val_split: field(fraction().max(0.9).default(0.1), {
    group: "Main",
    value: "F",
    help: "share of the rows that are kept for validation; 0 writes one file",
  }),
  review: field(z.boolean().default(false), {
    group: "Main",
    help: "send the rows to whet data review instead of writing files that train",
  }),
  queue: field(path().default("training/review"), {
    group: "Main",
    value: "DIR",
    help: "with --review: the folder of the batches",
  }),
  force: field(z.boolean().default(false), {
    group: "Main",
    help: "begin afresh, whatever is there",
  }),
  estimate: field(z.boolean().default(false), {
    group: "Main",
    help: "say how many calls and tokens it takes and what it costs, and send nothing",
  }),
  batch: field(whole(1).max(500).default(50), {
    group: "Teacher",
    value: "N",
    help: "rows in a call",
  }),
  template: field(path().optional(), {
    group: "Teacher",
    value: "FILE",
    help:
      "words of the prompt, with {schema_yaml}, {n}, {cases}, {context}, {avoid}, {name} in them",
  }),
  ...callFields,
  ...drawFields("240 a row and 1,000", "of the template teacher, of a local one, and of the split"),
  ...budgetFields,
  ...handFields,
});

export type GenerateSettings = z.output<typeof generateSettings>;
