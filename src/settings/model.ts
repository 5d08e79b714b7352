import { z } from "zod";
import { modelNamed } from "../base/model_names.ts";
import { parseBytes } from "../base/text.ts";
import { field, path } from "./field.ts";

/** A path, or the folder of a model named as in the Hugging Face cache, or micro. */
export const modelPath = () => path().transform((name) => modelNamed(name) ?? name);

/**
 * The base model; one that is named by its name in the Hugging Face cache, or micro, becomes its folder.
 * @param gguf whether the command reads GGUF files too
 */
export const modelField = (gguf = false, positional?: number) =>
  field(modelPath(), {
    group: "Main",
    short: "m",
    aliases: ["model-name-or-path", "base-model"],
    value: "DIR",
    positional,
    help: "the base model: a Hugging Face folder (config.json, *.safetensors, tokenizer.json)" +
      (gguf ? ", or a GGUF file" : ""),
  });

export const adapterField = () =>
  field(path().optional(), {
    group: "Main",
    short: "a",
    aliases: ["adapter-path"],
    value: "DIR",
    help: "a LoRA adapter in PEFT format, or the run that made it",
  });

export const quantField = () =>
  field(z.enum(["none", "int8", "nf4"]).default("none"), {
    group: "Model",
    changes: "values",
    help:
      "how the linear layers of the frozen base are kept on the GPU: 8 bits, or QLoRA's 4 (nf4)",
  });

export const doubleQuantField = () =>
  field(z.boolean().default(false), {
    group: "Model",
    changes: "values",
    help: "quantise the quantisation constants too",
  });

/** What holds between the settings of quantisation. */
export function checkQuant(
  s: { quant?: string; double_quant?: boolean; full?: boolean },
  issues: z.RefinementCtx,
) {
  const refuse = (key: string, message: string) =>
    issues.addIssue({ code: "custom", path: [key], message });
  if (s.double_quant && s.quant !== "nf4") refuse("double_quant", "belongs to --quant nf4");
  if (s.full && s.quant !== undefined && s.quant !== "none") {
    refuse("full", `trains all weights, and --quant ${s.quant} is for those that stay frozen`);
  }
}

/** The quantisation that the settings ask for. */
export function quantOf(
  { quant, double_quant = false }: { quant?: string; double_quant?: boolean },
): { type: "int8" } | { type: "nf4"; double: boolean } | undefined {
  if (quant === "int8") return { type: "int8" };
  return quant === "nf4" ? { type: "nf4", double: double_quant } : undefined;
}

export const computeField = () =>
  field(z.enum(["f32", "f16"]).default("f32"), {
    group: "Model",
    changes: "values",
    help:
      "how activations are kept between operations; sums, norms and the residual stream stay f32",
  });

export const taskField = () =>
  field(z.string().min(1).optional(), {
    group: "Main",
    value: "TASK",
    changes: "values",
    help:
      "the task whose adapter a model with adapters for tasks (jina-embeddings-v3) is used with: " +
      "retrieval.query, retrieval.passage, ...; none is the model without one",
  });

export const poolingField = () =>
  field(z.enum(["mean", "cls", "last"]).optional(), {
    group: "Main",
    aliases: ["pool", "pooling-mode"],
    help: "what an embedding is made of: the mean of all tokens, the first one, or the last one",
    otherwise: "as modules.json says; without one, mean for an encoder and last for a decoder",
  });

export const templateField = () =>
  field(path().optional(), {
    group: "Main",
    aliases: ["chat-template"],
    value: "FILE",
    changes: "rows",
    help: "a chat template (Jinja) instead of the model's own; plain is a simple built-in one",
  });

export const mapField = () =>
  field(
    z.string().regex(/^prompt=[^,]+,response=[^,]+$/, "expected prompt=KEY,response=KEY")
      .optional(),
    {
      group: "Main",
      value: "KEYS",
      changes: "rows",
      help: "which keys of a row hold prompt and answer, as prompt=KEY,response=KEY",
      otherwise: "found by their names",
    },
  );

export const systemField = () =>
  field(z.string().min(1).optional(), {
    group: "Main",
    value: "TEXT",
    changes: "rows",
    help: "the one system message of all conversations, in place of their own; @FILE reads it",
  });

export const jsonIndentField = () =>
  field(z.int().min(0).max(16).default(0), {
    group: "Main",
    value: "N",
    changes: "rows",
    help: "spaces of indentation for answers that are JSON objects; 0 writes them on one line",
  });

/** The two keys of --map. */
export function mapOf(text: string | undefined): { prompt: string; response: string } | undefined {
  const found = text && /^prompt=([^,]+),response=([^,]+)$/.exec(text);
  return found ? { prompt: found[1]!, response: found[2]! } : undefined;
}

export const modelShowSettings = z.strictObject({ model: modelField(true, 0) });

export const modelQuantizeSettings = z.strictObject({
  model: modelField(),
  output: field(path(), {
    group: "Main",
    short: "o",
    aliases: ["out"],
    value: "DIR",
    help: "the folder to write, a new one",
  }),
  quant: field(z.enum(["int8", "nf4"]).default("nf4"), {
    group: "Main",
    help: "what the linear layers become: 8 bits, or QLoRA's 4 (nf4)",
  }),
  double_quant: doubleQuantField(),
  shard_size: field(
    z.coerce.string().refine(
      (text) => parseBytes(text) !== undefined,
      "expected a size such as 5GB, 2GiB or 500MB",
    ).default("5GB"),
    { group: "Main", value: "SIZE", help: "largest file of weights" },
  ),
}).superRefine(checkQuant);
