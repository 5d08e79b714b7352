import { createHash } from "node:crypto";
import { Exit, Fail } from "../base/fail.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { type Json, preTokenizerSteps } from "../text/tokenizer_json.ts";
import known from "./pretokenizers.json";

/**
 * llama.cpp names the way a byte-level BPE splits text before merging; a wrong name gives wrong ids
 * without an error. The name is found as its converter finds it: the ids of a probe text, hashed.
 */
const names: Readonly<Record<string, string>> = known.names;

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

const patternOf = (step: Json): unknown => (step.pattern as Json | undefined)?.Regex;
const isByteLevel = (step: Json | undefined, regex: boolean): boolean =>
  step?.type === "ByteLevel" && step.add_prefix_space !== true &&
  (step.use_regex !== false) === regex;

/** The name whose splitting is the same by its rules, for vocabularies that no hash knows. */
function byPattern({ json }: Tokenizer): string | undefined {
  const steps = preTokenizerSteps(json.pre_tokenizer);
  const [first, second] = steps;
  if (steps.length === 1 && isByteLevel(first, true)) return "gpt-2";
  if (steps.length !== 2 || first?.type !== "Split" || first.behavior !== "Isolated") {
    return undefined;
  }
  if (first.invert === true) return undefined;
  const pattern = patternOf(first);
  if (pattern === "\\p{N}" && isByteLevel(second, true)) return "smollm";
  if (!isByteLevel(second, false)) return undefined;
  if (pattern === llama3 && json.model.ignore_merges === true) return "llama-bpe";
  return pattern === qwen2 ? "qwen2" : undefined;
}

/**
 * The GGUF pre-tokenizer name of a byte-level BPE: `override` if given, else by hash, else by the
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
