/** LoRA adapters in the file format of PEFT: adapter_config.json and adapter_model.safetensors. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { allFinite, fromF32 } from "../base/bits.ts";
import { disk, diskFail, syncFolder } from "../base/disk.ts";
import { writeFile, type Written } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { bytesIn, fileIn, namesIn, parseObject } from "./model_files.ts";
import {
  configName,
  configText,
  type LoraConfig,
  parseConfig,
  rankOf,
  targets,
} from "./peft_config.ts";
import { openSafetensors, writeSafetensors } from "./safetensors.ts";

export { type LoraConfig, loraDefaults, rankOf, scaling, targets } from "./peft_config.ts";

const weightsName = "adapter_model.safetensors";
const prefix = "base_model.model.";

export interface AdapterTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface Adapter {
  readonly config: LoraConfig;
  /**
   * By module and part, "model.layers.0.self_attn.q_proj.lora_A.weight": A is [r, in], B is [out, r]; with DoRA
   * also "….lora_magnitude_vector", [out].
   */
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
}

function bad(what: string, fix?: string, why?: string): Fail {
  return new Fail(what, { why, fix, exit: Exit.data });
}

/** The module that a tensor of an adapter belongs to, and which factor or magnitude it is. */
export function adapterPart(
  name: string,
): { module: string; part: "A" | "B" | "magnitude" } | undefined {
  const found = /^(.+)\.lora_(?:([AB])\.weight|magnitude_vector)$/.exec(name);
  return found ? { module: found[1]!, part: (found[2] ?? "magnitude") as "A" | "B" } : undefined;
}

function notUnderstood(name: string): string {
  if (/\.lora_embedding_[AB]$/.test(name)) return "an adapter on an embedding, not supported yet";
  if (/\.bias$/.test(name)) return "a trained bias, not supported yet";
  return "not a LoRA factor (….lora_A.weight or ….lora_B.weight)";
}

/** Checks names, pairs, shapes and ranks of an adapter's tensors against its config. */
function checkTensors(config: LoraConfig, tensors: Adapter["tensors"], file: string): void {
  const fix = "The config and the weights do not belong together, or the file is damaged.";
  if (tensors.size === 0) throw bad(`${file}: there are no tensors`, "Train the adapter again.");
  for (const [name, { shape, data }] of tensors) {
    const found = adapterPart(name);
    if (!found) throw bad(`${file}: ${name} is ${notUnderstood(name)}`);
    const { module, part } = found;
    if (!targets(config, module)) {
      throw bad(`${file}: unexpected ${name}: target_modules does not include it`, fix);
    }
    if (part === "magnitude" && !config.use_dora) {
      throw bad(`${file}: unexpected ${name}: use_dora is false`, fix);
    }
    const others = [
      ...(["A", "B"] as const).filter((other) => other !== part).map((p) => `lora_${p}.weight`),
      ...(config.use_dora ? ["lora_magnitude_vector"] : []),
    ].map((other) => `${module}.${other}`);
    const missing = others.find((other) => !tensors.has(other));
    if (missing) throw bad(`${file}: ${missing} is missing`, fix);
    const rank = rankOf(config, module);
    if (part === "magnitude") {
      const out = tensors.get(`${module}.lora_B.weight`)!.shape[0]!;
      if (String(shape) !== String([out])) {
        throw bad(`${file}: ${name} is [${shape.join(", ")}], expected [${out}]`, fix);
      }
    } else if (shape.length !== 2 || shape[part === "A" ? 0 : 1] !== rank) {
      const expected = part === "A" ? `[${rank}, in]` : `[out, ${rank}]`;
      throw bad(`${file}: ${name} is [${shape.join(", ")}], expected ${expected}`, fix);
    }
    if (data.length !== shape.reduce((product, size) => product * size, 1)) {
      throw bad(`${file}: ${name} has ${data.length} values for [${shape.join(", ")}]`);
    }
    if (!allFinite(data)) {
      throw bad(`${file}: ${name} holds NaN or infinity`, "Use an earlier checkpoint.");
    }
  }
}

/**
 * Checks an adapter against the base model it is to be used with: every adapted module exists with
 * fitting shape, and every module that the config targets is in the adapter.
 * @param base the base model's tensors by name, as an open model folder has them
 * @throws Fail (exit 3) naming the first module that is missing, unexpected or does not fit
 */
export function checkFit(
  adapter: Adapter,
  base: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): void {
  const fix = "Use the base model that the adapter was trained on.";
  const from = adapter.config.base_model_name_or_path;
  const why = from ? `The adapter was trained on ${from}.` : undefined;
  for (const [name, { shape }] of adapter.tensors) {
    const { module, part } = adapterPart(name)!;
    const weight = base.get(`${module}.weight`);
    if (weight?.shape.length !== 2) {
      throw bad(`unexpected ${name}: the base model has no linear layer ${module}`, fix, why);
    }
    const [out, width] = weight.shape;
    if (part === "A" ? shape[1] !== width : shape[0] !== out) {
      throw bad(`${name} is [${shape.join(", ")}], but ${module} is [${out}, ${width}]`, fix, why);
    }
  }
  for (const [name, { shape }] of base) {
    const module = name.replace(/\.weight$/, "");
    if (module === name || shape.length !== 2 || /embed/.test(module)) continue;
    if (targets(adapter.config, module) && !adapter.tensors.has(`${module}.lora_A.weight`)) {
      throw bad(`${module}.lora_A.weight is missing: the config targets it`, fix, why);
    }
  }
}

/**
 * Reads a LoRA adapter folder written by PEFT, whet or a compatible program. Weights in F16 or BF16
 * are widened to float32.
 * @throws Fail (exit 3) on anything missing, unexpected, inconsistent or not supported
 */
// deno-lint-ignore require-await
export async function readAdapter(dir: string): Promise<Adapter> {
  const names = namesIn(dir, `${configName} and ${weightsName}`);
  const bytes = bytesIn(dir, configName, 16 * 2 ** 20);
  if (!bytes) {
    const model = names.includes("config.json") ? " (this is a base model)" : "";
    throw bad(
      `${dir}: there is no ${configName}${model}`,
      "Give the folder of a LoRA adapter with -a.",
    );
  }
  const config = parseConfig(parseObject(bytes, join(dir, configName)), join(dir, configName));
  const path = fileIn(dir, weightsName);
  if (path === undefined && names.includes("adapter_model.bin")) {
    throw bad(
      `${dir}: the adapter is a pickled PyTorch file (adapter_model.bin)`,
      "Save it once with PEFT: model.save_pretrained(dir, safe_serialization=True)",
      "Opening a pickle runs whatever code is in it, so whet does not.",
    );
  }
  if (path === undefined) {
    throw bad(`${dir}: there is no ${weightsName}`, "Give the whole adapter folder.");
  }
  using file = openSafetensors(path);
  const shown = join(dir, weightsName);
  const tensors = new Map<string, AdapterTensor>();
  for (const [name, { shape }] of file.tensors) {
    if (!name.startsWith(prefix)) {
      throw bad(
        `${shown}: unexpected ${name}: names begin with ${prefix}`,
        "Save the adapter with PEFT.",
      );
    }
    tensors.set(name.slice(prefix.length), { shape, data: file.readF32(name) });
  }
  checkTensors(config, tensors, shown);
  return { config, tensors };
}

/**
 * Writes an adapter folder that PEFT loads. The config is written last: without it a folder is not an
 * adapter, so a crash cannot leave new weights beside an old config.
 * @param tensors as {@link Adapter} has them, float32
 * @returns size and SHA-256 of the weights file
 * @throws Fail when tensors and config disagree (exit 3) or the disk refuses (exit 12)
 */
export async function writeAdapter(
  dir: string,
  config: LoraConfig,
  tensors: Adapter["tensors"],
): Promise<Written> {
  checkTensors(config, tensors, join(dir, weightsName));
  const configPath = join(dir, configName);
  if (existsSync(configPath)) {
    try {
      await disk.unlink(configPath);
      await syncFolder(dir);
    } catch (error) {
      throw diskFail(error, configPath);
    }
  }
  const sources = [...tensors].map(([name, { shape, data }]) => (
    { name: prefix + name, dtype: "F32", shape, data: fromF32(data, "F32") } as const
  ));
  const written = await writeSafetensors(join(dir, weightsName), sources);
  await writeFile(configPath, configText(config));
  return written;
}
