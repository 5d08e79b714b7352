import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { columns, humanBytes, plural, thousands } from "../base/text.ts";
import type { Model } from "../architectures/model.ts";
import type { GgufModel } from "../export/gguf_folder.ts";
import { modelShowSettings } from "../settings/model.ts";
import { command } from "./command.ts";
import { isGguf, textsOf } from "./texts.ts";

export const modelShow = command({
  examples: [
    "whet model show ./model",
    "whet model show ./model --json",
    "whet model show model.gguf",
  ],
  details:
    "Opens the folder or GGUF file, compares every weight with what config.json asks for, and computes " +
    "nothing. Of GGUF's types the GPU reads Q4_0, Q5_0, Q8_0, Q4_K, Q5_K and Q6_K as they are; Q4_1, " +
    "Q5_1 and the others become f32 while they are loaded.",
  settings: modelShowSettings,
  async run({ model: dir }, io) {
    const { openBase } = await import("./base_model.ts");
    const model = await openBase(dir), { sizes, architecture, folder } = model;
    const { tokenizer, template } = await textsOf(dir);
    const single = isGguf(dir), names = single ? [] : readdirSync(dir);
    const weights = single
      ? [dir]
      : names.filter((n) => n.endsWith(".safetensors")).map((n) => join(dir, n));
    const stored = kinds(model), details = architecture.describe?.(model.config) ?? [];
    const answer = {
      path: dir,
      family: architecture.modelType,
      parameters: stored.reduce((sum, { parameters }) => sum + parameters, 0),
      files: weights.length,
      bytes: weights.reduce((sum, file) => sum + statSync(file).size, 0),
      stored,
      layers: sizes.layers,
      width: sizes.width,
      heads: sizes.heads,
      kv_heads: sizes.kvHeads,
      vocabulary: sizes.vocab,
      context: sizes.context,
      linear_layers: architecture.linears,
      details: Object.fromEntries(details),
      begin: tokenizer.addsBos ? tokenizer.tokenText(tokenizer.bos!) : null,
      end: tokenizer.eosIds.map((id) => tokenizer.tokenText(id) ?? `${id}`),
      chat_template: template !== undefined,
      licence: names.filter((name) => /^licen[cs]e|^notice/i.test(name)),
      sha256: folder.hash(),
    };
    folder.close();
    io.result(answer);
    io.out(columns([
      ["family", answer.family],
      ["parameters", thousands(answer.parameters)],
      ["weights", `${humanBytes(answer.bytes)} in ${plural(answer.files, "file")}`],
      ...stored.map((kind): [string, string] => [
        "",
        `${kind.type}  ${thousands(kind.parameters)} in ${plural(kind.tensors, "tensor")}`,
      ]),
      ["layers", `${sizes.layers} of width ${sizes.width}, ${heads(answer)}`],
      ...details,
      ["linear layers", architecture.linears.join(", ")],
      ["vocabulary", thousands(sizes.vocab)],
      ["context", `${thousands(sizes.context)} tokens`],
      ["begins with", answer.begin ?? "nothing"],
      ["ends with", answer.end.join(", ") || "nothing"],
      ["chat template", answer.chat_template ? "its own" : "none"],
      ["licence", answer.licence.join(", ") || "no file says"],
      ["sha256", answer.sha256],
    ]));
    if (folder.quantised && !single) {
      io.note("\nQuantised already: train on it without --quant.");
    }
  },
});

const heads = ({ heads, kv_heads }: { heads: number; kv_heads: number }) =>
  `${plural(heads, "head")}${
    kv_heads === heads ? "" : ` that share ${plural(kv_heads, "key-value head")}`
  }`;

/** How the parameters are stored, the most first. */
function kinds({ folder }: Model) {
  const found = new Map<string, { type: string; tensors: number; parameters: number }>();
  for (const [name, { dtype, shape }] of folder.tensors) {
    const type = typeOf(folder, name, dtype);
    const { tensors, parameters } = found.get(type) ?? { tensors: 0, parameters: 0 };
    const n = shape.reduce((a, b) => a * b, 1);
    found.set(type, { type, tensors: tensors + 1, parameters: parameters + n });
  }
  return [...found.values()].sort((a, b) => b.parameters - a.parameters);
}

function typeOf(folder: Model["folder"], name: string, dtype: string): string {
  const inFile = (folder as Partial<GgufModel>).types?.get(name);
  if (inFile !== undefined) return inFile;
  const kept = folder.quantised?.get(name);
  if (kept === "int8") return "int8, of f16";
  if (kept !== "nf4") return dtype.toLowerCase();
  return `nf4${folder.double!(name) ? ", double quantisation" : ""}, of ${dtype.toLowerCase()}`;
}
