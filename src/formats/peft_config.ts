/** adapter_config.json: what a LoRA adapter is, which modules it is on, and how it is scaled. */
import { Exit, Fail } from "../base/fail.ts";
import { isObject, type Json, type JsonObject } from "../base/strict_json.ts";

export const configName = "adapter_config.json";

/** The keys of adapter_config.json that say what a LoRA adapter is, under PEFT's names. */
export interface LoraConfig {
  readonly base_model_name_or_path: string | null;
  readonly revision: string | null;
  /** "CAUSAL_LM", "FEATURE_EXTRACTION", … */
  readonly task_type: string | null;
  readonly r: number;
  readonly lora_alpha: number;
  readonly lora_dropout: number;
  /** Scale by alpha / sqrt(r) instead of alpha / r (Kalajdzievski 2023). */
  readonly use_rslora: boolean;
  /** Rows of the adapted weight have learnt lengths (Liu et al. 2024). */
  readonly use_dora: boolean;
  /** The base stores its matrices [in, out], as GPT-2 does; A and B are the same. */
  readonly fan_in_fan_out: boolean;
  /** A regular expression for the whole module name, "all-linear", or names and endings of names. */
  readonly target_modules: string | readonly string[];
  readonly exclude_modules: string | readonly string[] | null;
  readonly layers_to_transform: number | readonly number[] | null;
  readonly layers_pattern: string | readonly string[] | null;
  /** Ranks and alphas that differ, by a regular expression for the end of the module name. */
  readonly rank_pattern: Readonly<Record<string, number>>;
  readonly alpha_pattern: Readonly<Record<string, number>>;
}

/** PEFT's defaults for what a config leaves out. */
export const loraDefaults: Omit<LoraConfig, "target_modules"> = {
  base_model_name_or_path: null,
  revision: null,
  task_type: null,
  r: 8,
  lora_alpha: 8,
  lora_dropout: 0,
  use_rslora: false,
  use_dora: false,
  fan_in_fan_out: false,
  exclude_modules: null,
  layers_to_transform: null,
  layers_pattern: null,
  rank_pattern: {},
  alpha_pattern: {},
};

function bad(what: string, fix?: string, why?: string): Fail {
  return new Fail(what, { why, fix, exit: Exit.data });
}

const compiled = new Map<string, RegExp>();

/** A Python regular expression that must match a whole module name; the differing syntax is translated. */
function python(source: string, before = "", after = ""): RegExp {
  const known = `${before}\n${source}`;
  let pattern = compiled.get(known);
  if (pattern) return pattern;
  const flags = /^\(\?([ims]+)\)/.exec(source)?.[1] ?? "";
  const body = source.slice(flags === "" ? 0 : flags.length + 3)
    .replaceAll("(?P<", "(?<")
    .replace(/\(\?P=(\w+)\)/g, "\\k<$1>")
    .replaceAll("\\A", "^")
    .replaceAll("\\Z", "$");
  try {
    if (source.length > 4096) throw new SyntaxError("it is longer than 4096 characters");
    pattern = new RegExp(`^${before}(?:${body})${after}`, flags);
  } catch (error) {
    throw bad(
      `${configName}: ${JSON.stringify(source.slice(0, 100))} is not a regular expression`,
      "List the module names instead: target_modules: [q_proj, v_proj]",
      (error as Error).message,
    );
  }
  compiled.set(known, pattern);
  return pattern;
}

function listed(names: readonly string[], module: string): boolean {
  return names.some((name) => module === name || module.endsWith(`.${name}`));
}

function isChosenLayer(config: LoraConfig, module: string): boolean {
  const layers = config.layers_to_transform;
  if (layers === null || (typeof layers !== "number" && layers.length === 0)) return true;
  const patterns = [config.layers_pattern ?? []].flat();
  let found: RegExpExecArray | null = null;
  for (const pattern of patterns.length === 0 ? ["[^.]*"] : patterns) {
    found ??= python(pattern, ".*?\\.", "\\.(\\d+)\\.").exec(module);
  }
  return found !== null && [layers].flat().includes(Number(found.at(-1)));
}

/**
 * Whether a config adapts a linear layer of this name, by PEFT's rule. "all-linear" says yes to
 * everything but the output head: ask it about linear layers only.
 * @throws Fail (exit 3) on a broken regular expression
 */
export function targets(config: LoraConfig, module: string): boolean {
  const { target_modules: wanted, exclude_modules: unwanted } = config;
  if (typeof unwanted === "string" && python(unwanted, "", "$").test(module)) return false;
  if (unwanted !== null && typeof unwanted !== "string" && listed(unwanted, module)) return false;
  if (typeof wanted === "string") {
    if (wanted.toLowerCase() === "all-linear") return !/(^|\.)lm_head$/.test(module);
    return python(wanted, "", "$").test(module);
  }
  if (wanted.includes(module)) return true;
  return listed(wanted, module) && isChosenLayer(config, module);
}

function patterned(patterns: Readonly<Record<string, number>>, module: string): number | undefined {
  const key = Object.keys(patterns).find((key) => python(key, "(?:.*\\.)?", "$").test(module));
  return key === undefined ? undefined : patterns[key];
}

/** Rank of the adapter on a module. */
export function rankOf(config: LoraConfig, module: string): number {
  return patterned(config.rank_pattern, module) ?? config.r;
}

/** What the adapter's output B·A·x on a module is multiplied with. */
export function scaling(config: LoraConfig, module: string): number {
  const alpha = patterned(config.alpha_pattern, module) ?? config.lora_alpha;
  const rank = rankOf(config, module);
  return alpha / (config.use_rslora ? Math.sqrt(rank) : rank);
}

/** Initialisations that change the base weights, so that the saved base does not fit the adapter. */
const changesBase = /^(pissa|olora|corda|loftq|lora_ga)/;
/** Settings of how training started; without effect on a finished adapter. */
const harmless = new Set([
  "loftq_config",
  "eva_config",
  "corda_config",
  "lora_ga_config",
  "megatron_config",
]);

function isSet(value: Json | undefined): boolean {
  if (value === undefined || value === null || value === false) return false;
  return typeof value !== "object" || Object.keys(value).length > 0;
}

function refuseUnsupported(json: JsonObject, file: string): void {
  const merge = "Merge it into its base model with PEFT (merge_and_unload) and start from that.";
  const named: Record<string, string> = {
    modules_to_save: "fully trained modules (modules_to_save)",
    lora_bias: "a bias on LoRA B (lora_bias)",
    layer_replication: "replicated layers (layer_replication)",
    trainable_token_indices: "trained token embeddings (trainable_token_indices)",
    target_parameters: "adapted bare parameters (target_parameters)",
    alora_invocation_tokens: "activated LoRA (alora_invocation_tokens)",
  };
  for (const [key, value] of Object.entries(json)) {
    const known = key === "use_rslora" || key === "use_dora" || harmless.has(key);
    const unknown = /^use_|_config$/.test(key) && !known;
    if (isSet(value) && (Object.hasOwn(named, key) || unknown)) {
      throw bad(`${file}: ${named[key] ?? key} is not supported yet`, merge);
    }
  }
  if (isSet(json.bias) && json.bias !== "none") {
    throw bad(
      `${file}: trained biases (bias ${JSON.stringify(json.bias)}) are not supported yet`,
      merge,
    );
  }
  const init = json.init_lora_weights;
  if (typeof init === "string" && changesBase.test(init)) {
    throw bad(
      `${file}: init_lora_weights ${JSON.stringify(init)} changed the base model`,
      "Convert it with PEFT: save_pretrained(dir, path_initial_model_for_weight_conversion=…)",
      "The adapter only fits the changed base, which is not in this folder.",
    );
  }
}

/** Checks a parsed adapter_config.json and fills in what it leaves out. Throws Fail (exit 3). */
export function parseConfig(json: JsonObject, file: string): LoraConfig {
  if (json.peft_type !== "LORA") {
    throw bad(
      `${file}: peft_type is ${JSON.stringify(json.peft_type)}, expected "LORA"`,
      "Use a LoRA adapter.",
    );
  }
  refuseUnsupported(json, file);
  function take<T>(
    key: keyof LoraConfig,
    ok: (value: Json) => boolean,
    expected: string,
    or: T,
  ): T {
    const value = json[key] ?? null;
    if (value === null) return or;
    if (!ok(value)) {
      const shown = JSON.stringify(value).slice(0, 100);
      throw bad(`${file}: ${key} is ${shown}, expected ${expected}`, "Correct the file.");
    }
    return value as T;
  }
  const isText = (v: Json) => typeof v === "string";
  const isNames = (v: Json) => isText(v) || (Array.isArray(v) && v.every(isText));
  const isRank = (v: Json) => Number.isInteger(v) && (v as number) >= 1 && (v as number) <= 65536;
  const isPositive = (v: Json) => typeof v === "number" && v > 0;
  const isLayer = (v: Json) => Number.isInteger(v) && (v as number) >= 0;
  const isMap = (ok: (v: Json) => boolean) => (v: Json) =>
    isObject(v) && Object.values(v).every(ok);
  const d = loraDefaults;
  const target_modules = take<LoraConfig["target_modules"]>(
    "target_modules",
    isNames,
    "names or one expression",
    [],
  );
  if (target_modules.length === 0) {
    throw bad(
      `${file}: target_modules is missing or empty`,
      "Name the adapted layers in target_modules.",
    );
  }
  return {
    base_model_name_or_path: take(
      "base_model_name_or_path",
      isText,
      "text",
      d.base_model_name_or_path,
    ),
    revision: take("revision", isText, "text", d.revision),
    task_type: take("task_type", isText, "text", d.task_type),
    r: take("r", isRank, "a whole number from 1 to 65536", d.r),
    lora_alpha: take("lora_alpha", isPositive, "a positive number", d.lora_alpha),
    lora_dropout: take(
      "lora_dropout",
      (v) => typeof v === "number" && v >= 0 && v < 1,
      "0 to 1",
      d.lora_dropout,
    ),
    use_rslora: take("use_rslora", (v) => typeof v === "boolean", "true or false", d.use_rslora),
    use_dora: take("use_dora", (v) => typeof v === "boolean", "true or false", d.use_dora),
    fan_in_fan_out: take(
      "fan_in_fan_out",
      (v) => typeof v === "boolean",
      "true or false",
      d.fan_in_fan_out,
    ),
    target_modules,
    exclude_modules: take("exclude_modules", isNames, "names or one expression", d.exclude_modules),
    layers_to_transform: take(
      "layers_to_transform",
      (v) => isLayer(v) || (Array.isArray(v) && v.every(isLayer)),
      "layer numbers",
      d.layers_to_transform,
    ),
    layers_pattern: take("layers_pattern", isNames, "names", d.layers_pattern),
    rank_pattern: take("rank_pattern", isMap(isRank), "whole numbers by name", d.rank_pattern),
    alpha_pattern: take(
      "alpha_pattern",
      isMap(isPositive),
      "positive numbers by name",
      d.alpha_pattern,
    ),
  };
}

/**
 * adapter_config.json as text: the keys that PEFT has always known, and newer ones only where they say
 * something, because old versions refuse keys they do not know.
 */
export function configText(config: LoraConfig): string {
  const json: Record<string, unknown> = {
    base_model_name_or_path: config.base_model_name_or_path,
    bias: "none",
    fan_in_fan_out: config.fan_in_fan_out,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: config.lora_alpha,
    lora_dropout: config.lora_dropout,
    modules_to_save: null,
    peft_type: "LORA",
    r: config.r,
    target_modules: typeof config.target_modules === "string"
      ? config.target_modules
      : [...config.target_modules].sort(),
    task_type: config.task_type,
  };
  const optional = [
    "revision",
    "use_rslora",
    "use_dora",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
  ] as const;
  for (const key of optional) if (isSet(config[key] as Json)) json[key] = config[key];
  const sorted = Object.fromEntries(Object.entries(json).sort(([a], [b]) => a < b ? -1 : 1));
  return JSON.stringify(sorted, null, 2);
}
