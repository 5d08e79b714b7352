import { z } from "zod";
import { field, fraction, path, positive, whole } from "./field.ts";
import {
  jsonIndentField,
  mapField,
  modelField,
  modelPath,
  systemField,
  templateField,
} from "./model.ts";

/** Settings of the data commands. */

const file = (help = "rows: JSONL or a JSON array; - reads stdin") =>
  field(path(), { group: "Main", aliases: ["data"], value: "FILE", positional: 0, help });

const output = (help: string) =>
  field(path().optional(), { group: "Main", short: "o", aliases: ["out"], value: "FILE", help });

const seed = () =>
  field(whole().max(2 ** 32 - 1).default(42), {
    group: "Main",
    value: "N",
    help: "of the shuffle",
  });

export const dataCheckSettings = z.strictObject({
  file: file(),
  model: field(modelPath().optional(), {
    group: "Main",
    short: "m",
    value: "DIR",
    help: "count lengths in this model's tokens; else they are characters",
  }),
  template: templateField(),
  system: systemField(),
  json_indent: jsonIndentField(),
  max_seq: field(whole(8).optional(), {
    group: "Main",
    value: "N",
    help: "with -m, say how many rows are longer than this many tokens",
  }),
  schema: field(path().optional(), {
    group: "Main",
    value: "FILE",
    help: "CLI schema or JSON Schema that answers must satisfy",
  }),
  against: field(path().optional(), {
    group: "Main",
    value: "FILE",
    help: "rows that must not stand here too, such as the validation rows",
  }),
  fix: field(
    z.union([
      z.literal("list"),
      z.string().regex(/^\d+(,\d+)*$/, "expected numbers such as 1,3"),
      z.number().transform(String),
    ]).optional(),
    {
      group: "Main",
      value: "1,3",
      bare: "list",
      help: "propose numbered fixes; with numbers, apply those and write a new file",
    },
  ),
  output: output("the file that --fix writes (default: FILE with _prepared in its name)"),
  map: mapField(),
  fail_under: field(fraction().optional(), {
    group: "Main",
    value: "X",
    help: "exit 9 where the diversity is lower",
  }),
});

export const dataConvertSettings = z.strictObject({
  input: field(path().default("-"), {
    group: "Main",
    value: "IN",
    positional: 0,
    help: "JSONL, a JSON array, CSV or Parquet; - reads stdin",
  }),
  to: field(z.enum(["messages", "prompt", "alpaca", "text", "dpo", "triplets", "cot"]), {
    group: "Main",
    help: "the form to write",
  }),
  from: field(
    z.enum([
      "auto",
      "messages",
      "sharegpt",
      "prompt",
      "alpaca",
      "clitron",
      "raw",
      "cot",
      "dpo",
      "triplets",
      "text",
    ]).default("auto"),
    { group: "Main", help: "the form of the rows, where it should not be found out" },
  ),
  map: field(
    z.string().regex(/^\w+=[^,=]+(,\w+=[^,=]+)*$/, "expected name=KEY,name=KEY").optional(),
    {
      group: "Main",
      value: "NAME=KEY,…",
      help: "which keys hold what: prompt=question,response=answer",
      otherwise: "found by their names",
    },
  ),
  system: field(z.string().optional(), {
    group: "Main",
    value: "FILE",
    help: "the one system prompt of all rows: a file, @FILE, or the text itself",
  }),
  model: field(modelPath().optional(), {
    group: "Main",
    short: "m",
    value: "DIR",
    help: "with --to cot: write this model's end token after every answer",
  }),
  json_indent: field(whole().max(16).optional(), {
    group: "Main",
    value: "N",
    help: "spaces of indentation for answers that are JSON objects",
    otherwise: "0; 2 with --to cot",
  }),
  output: output("the file to write (default: stdout)"),
});

export const dataShowSettings = z.strictObject({
  data: field(path(), {
    group: "Main",
    short: "d",
    positional: 0,
    aliases: ["dataset", "train-file"],
    value: "FILE",
    help: "rows as for training; - reads stdin",
  }),
  model: modelField(),
  template: templateField(),
  mask: field(z.boolean().default(false), {
    group: "Main",
    help: "mark the tokens that are trained: in colour on a terminal, else in brackets",
  }),
  tokens: field(z.boolean().default(false), {
    group: "Main",
    help: "one token a line: id, label, text",
  }),
  n: field(whole(0).default(3), { group: "Main", value: "N", help: "rows to show" }),
  row: field(whole(1).optional(), {
    group: "Main",
    value: "N",
    help: "show only the row on this line of the file",
  }),
  max_seq: field(whole(8).default(2048), {
    group: "Main",
    aliases: ["max-seq-length", "cutoff-len"],
    value: "N",
    help: "longest row in tokens",
  }),
  overlong: field(z.enum(["drop", "error", "truncate"]).default("error"), {
    group: "Main",
    help: "what training would do with longer rows",
  }),
  map: mapField(),
  system: systemField(),
  json_indent: jsonIndentField(),
});

export const dataSplitSettings = z.strictObject({
  file: file("rows, one JSON object a line, or a JSON array"),
  val: field(z.number().gt(0).lt(1).default(0.1), {
    group: "Main",
    aliases: ["val-split"],
    value: "X",
    help: "share of the rows that go to the validation file",
  }),
  seed: seed(),
  tail: field(z.boolean().default(false), {
    group: "Main",
    help: "take the last rows as they stand instead of shuffling",
  }),
  output: field(path().optional(), {
    group: "Main",
    short: "o",
    aliases: ["out", "train"],
    value: "FILE",
    help: "the training rows (default: FILE with _train in its name)",
  }),
  val_output: field(path().optional(), {
    group: "Main",
    value: "FILE",
    help: "the validation rows (default: FILE with _val in its name)",
  }),
});

export const dataPlanSettings = z.strictObject({
  schema: field(path(), {
    group: "Main",
    value: "SCHEMA",
    positional: 0,
    help: "a CLI schema (YAML)",
  }),
  rows: field(whole(1).optional(), {
    group: "Main",
    short: "n",
    aliases: ["num"],
    value: "N",
    help: "plan so many rows",
    otherwise: "100 a subcommand: 50, rows without context, negatives and edge cases",
  }),
  batch: field(whole(1).default(50), {
    group: "Main",
    value: "N",
    help: "rows asked for in one call of a teacher",
  }),
  price_in: field(z.number().min(0).optional(), {
    group: "Cost",
    value: "USD",
    help: "price of a million tokens read",
  }),
  price_out: field(z.number().min(0).optional(), {
    group: "Cost",
    value: "USD",
    help: "price of a million tokens written",
  }),
  row_tokens: field(positive().default(120), {
    group: "Cost",
    value: "N",
    help: "tokens that a teacher writes for one row",
  }),
});
