import { z } from "zod";
import { sectionsField, thresholdsField } from "./answers.ts";
import { field, path, whole } from "./field.ts";
import {
  adapterField,
  checkQuant,
  computeField,
  doubleQuantField,
  jsonIndentField,
  mapField,
  modelField,
  quantField,
  systemField,
  templateField,
} from "./model.ts";
import { generation } from "./use.ts";

/** Settings of `whet eval` and `whet eval ab`. */

const METRICS = [
  "exact",
  "json",
  "fields",
  "ppl",
  "latency",
  "calibration",
  "routing",
  "rouge",
] as const;

const asking = {
  template: templateField(),
  map: mapField(),
  system: systemField(),
  json_indent: jsonIndentField(),
  limit: field(whole(1).optional(), { group: "Main", value: "N", help: "only the first N rows" }),
  schema: field(path().optional(), {
    group: "Answers",
    value: "FILE",
    help: "CLI schema or JSON Schema that answers must satisfy",
  }),
  constrain: field(z.boolean().default(false), {
    group: "Answers",
    help: "hold answers to --schema while they are made",
  }),
  sections: sectionsField(),
  thresholds: thresholdsField(),
  slice: field(z.array(z.string().min(1)).default([]), {
    group: "Answers",
    value: "KEYS",
    help:
      "measure by the values of a key of the rows (metadata.kind) or of their answers (command)",
    otherwise: "metadata.kind, slice, category or kind, where rows have it",
  }),
  max_seq: field(whole(8).default(2048), {
    group: "Generation",
    value: "N",
    help: "longest row in tokens",
  }),
  ...generation,
  quant: quantField(),
  double_quant: doubleQuantField(),
  compute: computeField(),
};

export const evalSettings = z.strictObject({
  model: modelField(true),
  adapter: adapterField(),
  data: field(path(), {
    group: "Main",
    short: "d",
    aliases: ["dataset", "test-file"],
    value: "FILE",
    help: "rows with the answers expected",
  }),
  strict_prompt: field(z.boolean().default(false), {
    group: "Main",
    help:
      "refuse another system prompt, chat template or stop tokens than the adapter was trained with",
  }),
  metrics: field(z.array(z.enum(METRICS)).optional(), {
    group: "Main",
    value: "NAMES",
    help: `only these: ${METRICS.join(",")}; ppl alone generates no answers`,
    otherwise: "all; rouge where answers are text",
  }),
  adversarial: field(path().optional(), {
    group: "Main",
    value: "FILE",
    help: "rows of whet data adversarial too: nonsense, missing parts, pairs that differ in a word",
  }),
  baseline: field(z.boolean().default(false), {
    group: "Main",
    help: "measure the model without the adapter too, and what the difference is worth",
  }),
  fail_under: field(
    z.array(z.string().regex(/^[\w.[\]@-]+=\d*\.?\d+$/, "expected metric=number")).default([]),
    {
      group: "Main",
      value: "M=X",
      help: "exit 9 where a share is lower, for example exact=.9,json=.99,command=.95",
    },
  ),
  output: field(path().optional(), {
    group: "Output",
    short: "o",
    value: "FILE",
    help: "write the result as JSON",
  }),
  html: field(path().optional(), {
    group: "Output",
    value: "FILE",
    help: "write a page with all measures and every answer, to be looked through",
  }),
  predictions: field(path().optional(), {
    group: "Output",
    value: "FILE",
    help: "write every answer and how it was judged; whet eval ab reads it",
  }),
  failures: field(path().optional(), {
    group: "Output",
    value: "FILE",
    help: "write the rows answered wrongly, ready to be corrected and trained",
  }),
  ...asking,
}).superRefine(checkQuant);

export const abSettings = z.strictObject({
  first: field(path(), {
    group: "Main",
    value: "A",
    positional: 0,
    help: "an adapter or run, base, a GGUF file, a model folder, or predictions of whet eval",
  }),
  second: field(path(), {
    group: "Main",
    value: "B",
    positional: 1,
    help: "what A is compared with",
  }),
  model: field(path().optional(), {
    group: "Main",
    short: "m",
    value: "DIR",
    help: "the base model of adapters",
    otherwise: "the one that the run names",
  }),
  data: field(path().optional(), {
    group: "Main",
    short: "d",
    aliases: ["dataset", "test-file"],
    value: "FILE",
    help: "rows with the answers expected; not needed for two files of predictions",
  }),
  output: field(path().optional(), {
    group: "Output",
    short: "o",
    value: "FILE",
    help: "write the result as JSON",
  }),
  ...asking,
}).superRefine(checkQuant);

export type EvalSettings = z.output<typeof evalSettings>;
export type AbSettings = z.output<typeof abSettings>;
