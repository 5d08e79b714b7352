import { z } from "zod";
import { field, fraction, path, positive, whole } from "./field.ts";

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
  parallel: field(whole(1).max(64).default(1), {
    group: "Teacher",
    aliases: ["concurrency"],
    value: "N",
    help: "calls under way at once; a kill repeats no more than these",
  }),
  retries: field(whole().max(100).default(6), {
    group: "Teacher",
    value: "N",
    help: "times that a call is made again which was refused for a while or broke off",
  }),
  timeout: field(positive().max(86_400).default(300), {
    group: "Teacher",
    value: "S",
    help: "seconds until a call is given up",
  }),
  max_tokens: field(whole(16).optional(), {
    group: "Teacher",
    value: "N",
    help: "longest answer of a call in tokens",
    otherwise: "240 a row and 1,000",
  }),
  temp: field(z.number().min(0).max(100).default(0.8), {
    group: "Teacher",
    aliases: ["temperature"],
    value: "T",
    help: "of a local teacher: 0 takes the likeliest token, higher is more varied",
  }),
  seed: field(whole().max(2 ** 32 - 1).default(1), {
    group: "Teacher",
    value: "N",
    help: "of the template teacher, of a local one, and of the split",
  }),
  max_calls: field(whole(1).optional(), {
    group: "Budget",
    value: "N",
    help: "most calls, restarts and repetitions included",
    otherwise: "three times what is needed, and 10",
  }),
  max_tokens_total: field(whole(1).optional(), {
    group: "Budget",
    value: "N",
    help: "most tokens, prompts and answers; no call is made that could exceed it",
  }),
  max_cost: field(positive().optional(), {
    group: "Budget",
    value: "USD",
    help: "most dollars; no call is made that could exceed it",
  }),
  price_in: field(z.number().min(0).optional(), {
    group: "Budget",
    value: "USD",
    help: "price of a million prompt tokens",
    otherwise: "from a list, for well-known models",
  }),
  price_out: field(z.number().min(0).optional(), {
    group: "Budget",
    value: "USD",
    help: "price of a million answer tokens",
    otherwise: "from a list, for well-known models",
  }),
  emit_prompts: field(path().optional(), {
    group: "By hand",
    value: "DIR",
    help: "write the prompts as files, to be put to any model in any window",
    excludes: ["import"],
  }),
  import: field(z.array(path()).default([]), {
    group: "By hand",
    value: "FILES",
    help: "files with what came back, joined by commas",
  }),
});

export type GenerateSettings = z.output<typeof generateSettings>;
