import { createHash } from "node:crypto";
import { Exit, Fail } from "../base/fail.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { type Json, preTokenizerSteps } from "../text/tokenizer_json.ts";
import known from "./pretokenizers.json";

/**
 * llama.cpp names the way a byte-level BPE splits text before merging; a wrong name gives wrong ids
 * without an error. The name is found as its converter finds it: the ids of a probe text, hashed.
 */
const names: Readonly<Record<string, string>> = {
  ...known.names,
  // models/micro, which splits as GPT-2 does
  "d75e18d3047fba123d6c19cba47c5fc8ff0c4fefc5fccd1e2ed043a0a21fbb6e": "gpt-2",
};

/** Every name that a hash leads to. */
export const pretokenizerNames: readonly string[] = [...new Set(Object.values(names))].sort();

const llama3 = String
  .raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const qwen2 = llama3.replace("{1,3}", "");

/** SHA-256 of the probe's ids, written as Python writes a list. */
export function pretokenizerHash(tokenizer: Pick<Tokenizer, "encode">): string {
  const ids = tokenizer.encode(known.probe);
  return createHash("sha256").update(`[${ids.join(", ")}]`).digest("hex");
}

const byteLevel = (use_regex: boolean): Json => (
  { type: "ByteLevel", add_prefix_space: false, use_regex }
);
const split = (Regex: string): Json => (
  { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false }
);

/** The steps that the best-known names stand for; a name not listed has steps whet does not know. */
const gpt2Steps = [byteLevel(true)];
const steps: Readonly<Record<string, readonly Json[]>> = {
  "gpt-2": gpt2Steps,
  "phi-2": gpt2Steps,
  "llama-bpe": [split(llama3), byteLevel(false)],
  qwen2: [split(qwen2), byteLevel(false)],
  "deepseek-r1-qwen": [split(qwen2), byteLevel(false)],
  smollm: [split("\\p{N}"), byteLevel(true)],
};

/** llama.cpp takes a whole piece that is a token as that token only for this name. */
const ignoresMerges = (name: string): boolean => name === "llama-bpe";

/**
 * The tokenizer.json parts that a GGUF pre-tokenizer name stands for.
 *
 * @throws Fail for names whose rules are not written here
 */
export function pretokenizerSteps(name: string): { pre_tokenizer: Json; ignore_merges: boolean } {
  const pretokenizers = Object.hasOwn(steps, name) ? steps[name] : undefined;
  if (pretokenizers === undefined) {
    throw new Fail(`the GGUF pre-tokenizer ${name} is not known`, {
      why: `whet knows how ${Object.keys(steps).join(", ")} split text`,
      fix: "use the model's Hugging Face folder",
      exit: Exit.data,
    });
  }
  return { pre_tokenizer: { type: "Sequence", pretokenizers }, ignore_merges: ignoresMerges(name) };
}

/** What a step does, in one comparable text; single digits are a split by a pattern. */
const signature = (
  { type, pattern, behavior, invert, add_prefix_space, use_regex, individual_digits }: Json,
): string =>
  type === "Digits" && individual_digits === true
    ? signature(split("\\p{N}"))
    : type === "Split"
    ? JSON.stringify([type, (pattern as Json | undefined)?.Regex, behavior, invert === true])
    : JSON.stringify([type, add_prefix_space === true, use_regex !== false]);

/** The name whose splitting is the same by its rules, for vocabularies that no hash knows. */
function byPattern({ json }: Tokenizer): string | undefined {
  const own = preTokenizerSteps(json.pre_tokenizer).map(signature).join();
  const name = Object.keys(steps).find((name) => steps[name]!.map(signature).join() === own);
  if (name === undefined) return undefined;
  return ignoresMerges(name) && json.model.ignore_merges !== true ? undefined : name;
}

/**
 * The GGUF pre-tokenizer name of a byte-level BPE or WordPiece: `override` if given, else by hash, else by the
 * split pattern with a warning.
 *
 * @throws Fail when the override is unknown or nothing matches
 */
export function findPretokenizer(
  tokenizer: Tokenizer,
  override?: string,
): { readonly name: string; readonly warning?: string } {
  if (override !== undefined) {
    if (pretokenizerNames.includes(override) || override === "default") return { name: override };
    throw new Fail(`${override} is not a GGUF pre-tokenizer`, {
      fix: `use one of ${pretokenizerNames.join(", ")}`,
      exit: Exit.usage,
    });
  }
  const hashed = names[pretokenizerHash(tokenizer)];
  if (hashed !== undefined) return { name: hashed };
  // llama.cpp splits text for WordPiece in one way, whatever the name.
  if (tokenizer.json.model.type === "WordPiece") return { name: "default" };
  const matched = byPattern(tokenizer);
  if (matched === undefined) {
    throw new Fail("the GGUF pre-tokenizer of this vocabulary is not known", {
      why: "neither its ids of the probe text nor its split pattern is known to llama.cpp",
      fix: "name it with --pretokenizer, and compare ids before using the file",
      exit: Exit.data,
    });
  }
  const warning = `the vocabulary is not known by its hash; it splits text as ${matched} does, ` +
    "so that pre-tokenizer is written";
  return { name: matched, warning };
}
