import { z } from "zod";
import { field, path, whole } from "./field.ts";
import { exportSettings } from "./use.ts";

/** The stages of a named training, in their order. */
export const STAGES = ["generate", "sft", "preferences", "dpo", "quantize", "eval"] as const;
export type StageName = (typeof STAGES)[number];

/** A name that is also that of files and folders. */
const NAME = /^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u;

/** Settings of whet pipeline: what each stage takes besides is in the files named for it. */
export const pipelineSettings = z.strictObject({
  name: field(z.string().regex(NAME, "expected a name of letters, digits, . _ and -"), {
    group: "Main",
    value: "NAME",
    positional: 0,
    help: "the training: schemas/NAME.yaml, or a schema that is shipped",
    flagOnly: true,
  }),
  num: field(whole(1).max(1_000_000).optional(), {
    group: "Main",
    short: "n",
    aliases: ["count"],
    value: "N",
    help: "rows to generate, validation rows among them",
    otherwise: "3000; afterwards as before",
  }),
  quant: field(exportSettings.shape.quant.unwrap().optional(), {
    group: "Main",
    value: "TYPE",
    help: "number format of the GGUF file",
    otherwise: "q4_k_m; afterwards as before",
  }),
  model: field(path().optional(), {
    group: "Main",
    short: "m",
    aliases: ["model-name-or-path", "base-model"],
    value: "DIR",
    help: "the base model: a folder, a name in the Hugging Face cache, or micro, which is built in",
    otherwise: "as the configuration says, meta-llama/Llama-3.2-1B-Instruct; afterwards as before",
  }),
  teacher: field(z.string().min(1).optional(), {
    group: "Main",
    value: "T",
    help: "who writes the rows: template, anthropic[:MODEL], openai:MODEL or local:DIR",
    otherwise: "template, which needs neither a key nor a network; afterwards as before",
  }),
  pairs: field(whole(1).max(1_000_000).optional(), {
    group: "Main",
    aliases: ["num-pairs"],
    value: "N",
    help: "questions that are put to the SFT model for preferences",
    otherwise: "1000; afterwards as before",
  }),
  stage: field(z.enum(STAGES).optional(), {
    group: "Stages",
    help: "this one alone",
    excludes: ["from", "to"],
    flagOnly: true,
  }),
  from: field(z.enum(STAGES).optional(), {
    group: "Stages",
    help: "the first stage",
    otherwise: "generate",
    excludes: ["stage"],
    flagOnly: true,
  }),
  to: field(z.enum(STAGES).optional(), {
    group: "Stages",
    help: "the last stage",
    otherwise: "eval",
    excludes: ["stage"],
    flagOnly: true,
  }),
  force: field(z.boolean().default(false), {
    group: "Stages",
    help: "do the chosen stages again, whatever is there",
    flagOnly: true,
  }),
});

export type PipelineSettings = z.output<typeof pipelineSettings>;
