import { z } from "zod";
import { parseBytes } from "../base/text.ts";
import { field, path, positive, whole } from "./field.ts";
import { sectionsField, thresholdsField } from "./answers.ts";
import {
  adapterField,
  checkQuant,
  computeField,
  doubleQuantField,
  mapField,
  modelField,
  poolingField,
  quantField,
  taskField,
  templateField,
} from "./model.ts";

/** Settings of the commands that use a model: score, embed, infer, tokenize, export. */

const input = () =>
  field(path().default("-"), {
    group: "Main",
    aliases: ["input"],
    value: "FILE",
    positional: 0,
    help: "rows, one JSON object a line; - reads stdin",
  });

export const scoreSettings = z.strictObject({
  model: modelField(true),
  adapter: adapterField(),
  rows: input(),
  quant: quantField(),
  double_quant: doubleQuantField(),
  compute: computeField(),
}).superRefine(checkQuant);

export const embedSettings = z.strictObject({
  model: modelField(true),
  adapter: adapterField(),
  rows: input(),
  pooling: poolingField(),
  task: taskField(),
  raw: field(z.boolean().default(false), {
    group: "Main",
    help: "embeddings as they are pooled, not made of unit length",
  }),
  prompt: field(z.string().optional(), {
    group: "Main",
    short: "p",
    value: "TEXT",
    help: "what stands before every text",
    excludes: ["prompt_name"],
  }),
  prompt_name: field(z.string().min(1).optional(), {
    group: "Main",
    value: "NAME",
    help: "the same by its name in the model's config_sentence_transformers.json",
    otherwise: "the model's default prompt, where it names one",
    excludes: ["prompt"],
  }),
  quant: quantField(),
  double_quant: doubleQuantField(),
  compute: computeField(),
}).superRefine(checkQuant);

const schemaField = () =>
  field(path().optional(), {
    group: "Answers",
    value: "FILE",
    help: "hold answers to this CLI schema or JSON Schema while they are made: they always fit it",
  });

/** How answers are drawn. */
export const generation = {
  temp: field(z.number().min(0).max(100).default(0), {
    group: "Generation",
    aliases: ["temperature"],
    value: "T",
    help: "0 takes the likeliest token, higher is more varied",
  }),
  top_p: field(positive().max(1).default(1), {
    group: "Generation",
    value: "P",
    help: "draw only from the likeliest tokens that together have this probability",
  }),
  top_k: field(whole().max(2 ** 24).default(0), {
    group: "Generation",
    value: "N",
    help: "draw only from so many of the likeliest tokens; 0 from all",
  }),
  min_p: field(z.number().min(0).max(1).default(0), {
    group: "Generation",
    value: "P",
    help: "draw only tokens that are at least this times as likely as the likeliest",
  }),
  repetition_penalty: field(positive().max(100).default(1), {
    group: "Generation",
    aliases: ["repeat-penalty"],
    value: "X",
    help: "above 1 makes tokens less likely that prompt or answer have already",
  }),
  max_tokens: field(whole(1).default(256), {
    group: "Generation",
    aliases: ["max-new-tokens", "max-gen-toks"],
    value: "N",
    help: "longest answer in tokens",
  }),
  seed: field(whole().max(2 ** 32 - 1).default(42), {
    group: "Generation",
    value: "N",
    help: "of the draws where --temp is above 0",
  }),
};

export const inferSettings = z.strictObject({
  model: modelField(true),
  adapter: adapterField(),
  rows: input(),
  prompt: field(z.string().optional(), {
    group: "Main",
    short: "p",
    value: "TEXT",
    help: "answer this one prompt instead of rows",
  }),
  chat: field(z.boolean().default(false), {
    group: "Main",
    help: "prompts are what a user says: put them through the chat template",
  }),
  system: field(z.string().optional(), {
    group: "Main",
    value: "TEXT",
    help: "system message before every prompt, with --chat understood; @FILE reads it from a file",
  }),
  template: templateField(),
  strict_prompt: field(z.boolean().default(false), {
    group: "Main",
    help:
      "refuse another system prompt, chat template or stop tokens than the adapter was trained with",
  }),
  id_field: field(z.string().min(1).optional(), {
    group: "Main",
    value: "KEY",
    help: "copy this key of each row to its answer",
  }),
  schema: schemaField(),
  sections: sectionsField(),
  thresholds: thresholdsField(),
  ...generation,
  stop: field(z.array(z.string().min(1)).max(16).default([]), {
    group: "Generation",
    value: "TEXT",
    help: "texts that end an answer, which goes without them; \\n is a new line",
  }),
  quant: quantField(),
  double_quant: doubleQuantField(),
  compute: computeField(),
}).superRefine(checkQuant);

export const chatSettings = z.strictObject({
  model: modelField(true),
  adapter: adapterField(),
  compare: field(z.enum(["base"]).optional(), {
    group: "Main",
    value: "base",
    help: "show beside each answer what the model says without its adapter",
  }),
  system: field(z.string().optional(), {
    group: "Main",
    value: "TEXT",
    help: "system message before the conversation; @FILE reads it from a file",
  }),
  template: templateField(),
  schema: schemaField(),
  sections: sectionsField(),
  ...generation,
  quant: quantField(),
  double_quant: doubleQuantField(),
  compute: computeField(),
}).superRefine(checkQuant);

export const tokenizeSettings = z.strictObject({
  model: modelField(true),
  text: input(),
  decode: field(z.boolean().default(false), {
    group: "Main",
    help: 'ids to text: lines of {"ids":[...]} or [...] in, JSON strings out',
  }),
  special: field(z.boolean().default(true), {
    group: "Main",
    help: "add the model's begin and end tokens; with --decode, show special tokens",
    off: "without the model's begin and end tokens; with --decode, without special tokens",
  }),
});

const forceField = () =>
  field(z.boolean().default(false), {
    group: "Main",
    help: "write over what is there",
    flagOnly: true,
  });

const GGUF_TYPES = [
  "f32",
  "f16",
  "bf16",
  "q8_0",
  "q6_k",
  "q5_k_m",
  "q5_k_s",
  "q4_k_m",
  "q4_k_s",
  "q4_0",
] as const;

export const exportSettings = z.strictObject({
  source: field(path(), {
    group: "Main",
    value: "SRC",
    positional: 0,
    help: "a run, a PEFT adapter folder or a base model folder",
  }),
  output: field(path(), {
    group: "Main",
    short: "o",
    aliases: ["out"],
    value: "PATH",
    help: "the file (--gguf) or folder to write",
  }),
  force: forceField(),
  base: field(path().optional(), {
    group: "Main",
    value: "DIR",
    help: "the base model, where it is not at the place the adapter recorded",
  }),
  task: taskField(),
  gguf: field(z.boolean().default(false), {
    group: "Form",
    help: "one GGUF file for llama.cpp and Ollama, adapter merged",
  }),
  merge: field(z.boolean().default(false), {
    group: "Form",
    help: "a Hugging Face folder with the adapter merged into the weights",
  }),
  quant: field(z.enum(GGUF_TYPES).default("f16"), {
    group: "Form",
    value: "TYPE",
    help: `number format of the weights written, from ${GGUF_TYPES[0]} to ${GGUF_TYPES.at(-1)}`,
  }),
  gguf_lora: field(z.boolean().default(false), {
    group: "Form",
    help: "the adapter alone as GGUF, for llama.cpp's --lora",
    excludes: ["gguf", "merge"],
  }),
  imatrix: field(path().optional(), {
    group: "Form",
    value: "FILE",
    help: "importance matrix by which --quant q4_0 to q6_k round: of whet imatrix or llama.cpp",
  }),
  ollama: field(z.string().optional(), {
    group: "Form",
    value: "NAME",
    help: "write a Modelfile beside the GGUF",
  }),
  pretokenizer: field(z.string().optional(), {
    group: "Form",
    value: "NAME",
    help: "GGUF pre-tokenizer name, where it is not recognised",
  }),
  merge_base: field(z.enum(["dequant", "original"]).optional(), {
    group: "Form",
    otherwise: "the one trained on",
    help: "what the adapter is merged onto: the base as quantised training saw it, or as it was",
  }),
  shard_size: field(
    z.coerce.string().refine((text) => parseBytes(text) !== undefined, "write 2GB, 500MB").default(
      "5GB",
    ),
    {
      group: "Form",
      value: "SIZE",
      aliases: ["max-shard-size"],
      help: "largest file of a merged model",
    },
  ),
  split_max_size: field(
    z.coerce.string().refine((text) => (parseBytes(text) ?? 0) > 0, "write 2GB, 500MB").optional(),
    {
      group: "Form",
      value: "SIZE",
      otherwise: "one file",
      help: "write the GGUF in parts of at most so much, NAME-00001-of-0000N.gguf",
    },
  ),
  verify: field(z.enum(["off", "tensors", "answers"]).default("off"), {
    group: "Verify",
    bare: "answers",
    help: "read back what was written: every tensor, and with answers whether the model that was " +
      "trained predicts and answers the same; --verify alone means answers",
  }),
  verify_data: field(path().optional(), {
    group: "Verify",
    value: "FILE",
    otherwise: "the run's validation rows, else its training rows, else built-in ones",
    help: "rows to compare answers on",
  }),
  verify_rows: field(whole(1).default(16), {
    group: "Verify",
    value: "N",
    help: "how many of them",
  }),
  max_drift: field(positive().optional(), {
    group: "Verify",
    value: "KL",
    otherwise: "what rounding to --quant explains",
    help: "largest mean divergence of predictions, nats a token",
  }),
  max_tokens: field(whole(1).default(128), {
    group: "Verify",
    value: "N",
    help: "longest answer compared",
  }),
});

export const imatrixSettings = z.strictObject({
  model: modelField(true),
  adapter: adapterField(),
  data: field(path(), {
    group: "Main",
    short: "d",
    value: "FILE",
    help: "rows like those that the model will see",
  }),
  output: field(path(), {
    group: "Main",
    short: "o",
    aliases: ["out"],
    value: "FILE",
    help: "the importance matrix to write",
  }),
  force: forceField(),
  template: templateField(),
  map: mapField(),
  limit: field(whole(1).optional(), { group: "Main", value: "N", help: "only the first N rows" }),
  quant: quantField(),
  double_quant: doubleQuantField(),
}).superRefine(checkQuant);

export const pushSettings = z.strictObject({
  source: field(path(), {
    group: "Main",
    value: "DIR",
    positional: 0,
    help: "a run, an exported folder or a GGUF file",
  }),
  repo: field(z.string(), {
    group: "Main",
    value: "USER/REPO",
    positional: 1,
    help: "the repository on the Hub",
  }),
  private: field(z.boolean().default(false), {
    group: "Main",
    help: "a new repository is for you and your organisation only",
  }),
  message: field(z.string().min(1).default("Upload by whet"), {
    group: "Main",
    value: "TEXT",
    help: "of the commit",
  }),
  exclude: field(z.array(z.string().min(1)).default([]), {
    group: "Main",
    value: "GLOB",
    help: "leave these files out, for example *.html,metrics.jsonl",
  }),
});

export type ScoreSettings = z.output<typeof scoreSettings>;
export type EmbedSettings = z.output<typeof embedSettings>;
export type ChatSettings = z.output<typeof chatSettings>;
export type InferSettings = z.output<typeof inferSettings>;
export type TokenizeSettings = z.output<typeof tokenizeSettings>;
export type ExportSettings = z.output<typeof exportSettings>;
