import { z } from "zod";
import { field, path, positive, whole } from "./field.ts";
import {
  adapterField,
  checkQuant,
  computeField,
  doubleQuantField,
  mapField,
  modelField,
  quantField,
  templateField,
} from "./model.ts";
import { budgetFields, callFields, handFields } from "./teacher.ts";

/** Settings of whet data preferences. */
export const preferencesSettings = z.strictObject({
  model: modelField(true),
  adapter: adapterField(),
  prompts: field(path().optional(), {
    group: "Main",
    aliases: ["data", "dataset"],
    value: "FILE",
    help: "rows with prompts, and with the ideal answers unless a teacher gives them",
  }),
  schema: field(path().optional(), {
    group: "Main",
    value: "S",
    help:
      "what ideal answers must fit: a schema's name or file; without --prompts, requests are made from it",
  }),
  num: field(whole(1).max(1_000_000).default(1000), {
    group: "Main",
    short: "n",
    aliases: ["num-pairs", "count"],
    value: "N",
    help: "pairs to make; fewer where the prompts give no more",
  }),
  output: field(path().default("preferences.jsonl"), {
    group: "Main",
    short: "o",
    aliases: ["out"],
    value: "FILE",
    help: "the pairs",
  }),
  best_of: field(whole(1).max(64).default(1), {
    group: "Main",
    value: "K",
    help: "answers drawn for each prompt, one of which is rejected",
  }),
  reject: field(z.enum(["worst", "hardest"]).default("worst"), {
    group: "Main",
    help:
      "of several answers that differ from the ideal one: that which agrees with it least, or most",
  }),
  teacher: field(z.string().min(1).optional(), {
    group: "Main",
    value: "T",
    help:
      "who gives the ideal answers: rows (those in --prompts), template (requests and answers from the " +
      "schema), anthropic[:MODEL], openai:MODEL (any server that speaks like it), local:DIR, or manual",
    otherwise: "rows; without --prompts template",
  }),
  text: field(z.boolean().default(false), {
    group: "Main",
    help: "ideal answers may be any text; else they must be JSON",
    excludes: ["schema"],
  }),
  force: field(z.boolean().default(false), {
    group: "Main",
    help: "begin afresh, whatever is there",
  }),
  estimate: field(z.boolean().default(false), {
    group: "Main",
    help:
      "say how many calls and tokens the ideal answers take and what they cost, and send nothing",
  }),
  map: mapField(),
  template: templateField(),
  strict_prompt: field(z.boolean().default(false), {
    group: "Main",
    help:
      "refuse another system prompt, chat template or stop tokens than the adapter was trained with",
  }),
  temp: field(z.number().min(0).max(100).optional(), {
    group: "Generation",
    aliases: ["temperature"],
    value: "T",
    help: "0 takes the likeliest token, higher is more varied",
    otherwise: "0; with --best-of 0.8",
  }),
  top_p: field(positive().max(1).default(1), {
    group: "Generation",
    value: "P",
    help: "draw only from the likeliest tokens that together have this probability",
  }),
  max_tokens: field(whole(1).default(256), {
    group: "Generation",
    aliases: ["max-new-tokens"],
    value: "N",
    help: "longest answer in tokens",
  }),
  seed: field(whole().max(2 ** 32 - 1).default(42), {
    group: "Generation",
    value: "N",
    help: "of the order of the prompts, of the draws, and of requests made from a schema",
  }),
  batch: field(whole(1).max(200).default(10), {
    group: "Teacher",
    value: "N",
    help: "prompts in a call",
  }),
  ...callFields,
  ...budgetFields,
  ...handFields,
  quant: quantField(),
  double_quant: doubleQuantField(),
  compute: computeField(),
}).superRefine((s, issues) => {
  checkQuant(s, issues);
  const refuse = (key: string, message: string) =>
    issues.addIssue({ code: "custom", path: [key], message });
  if (s.prompts === undefined && s.schema === undefined) {
    refuse("prompts", "a file with prompts is needed, or --schema to make requests from");
  }
  if (s.best_of > 1 && s.temp === 0) {
    refuse("temp", "at 0 all answers to a prompt are the same, and --best-of wants several");
  }
});

export type PreferencesSettings = z.output<typeof preferencesSettings>;
