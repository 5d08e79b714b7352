import type { Model } from "../../architectures/model.ts";
import type { Sentence } from "../../architectures/sentences.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { openGguf } from "../../formats/gguf.ts";
import { integerAt, stringAt } from "../../formats/gguf_types.ts";
import { readSentenceConfig, type SentenceConfig } from "../../formats/sentence.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import { isGguf } from "./texts.ts";

/**
 * What embeddings of a model are: as the folder of its adapter says, or its own, or what is usual for its
 * kind; flags come before all of these.
 */
export function sentenceConfig(
  { model: path, adapter, pooling, raw }: {
    readonly model: string;
    readonly adapter?: string;
    readonly pooling?: "mean" | "cls" | "last";
    readonly raw?: boolean;
  },
  { architecture, folder }: Model,
): SentenceConfig {
  const usual: SentenceConfig = {
    pooling: (isGguf(path) && ggufPooling(path)) || (architecture.bidirectional ? "mean" : "last"),
    normalise: false,
    includePrompt: true,
    lowercase: false,
    prompts: {},
  };
  const read = (dir: string) => readSentenceConfig(dir, pooling);
  const found = (adapter === undefined ? undefined : read(adapter)) ??
    (isGguf(path) ? undefined : read(folder.dir)) ?? usual;
  return {
    ...found,
    pooling: pooling ?? found.pooling,
    normalise: found.normalise && raw !== true,
  };
}

/** What a GGUF file says of it, as llama.cpp numbers them. */
function ggufPooling(path: string): SentenceConfig["pooling"] | undefined {
  using file = openGguf(path);
  const arch = stringAt(file.metadata, "general.architecture");
  const number = integerAt(file.metadata, `${arch}.pooling_type`);
  return number === undefined ? undefined : ([, "mean", "cls", "last"] as const)[number];
}

/** How texts become sentences. */
export interface Sentences {
  readonly tokenizer: Tokenizer;
  readonly config: SentenceConfig;
  /** Longest sentence in tokens, special ones included; longer texts are cut. */
  readonly limit: number;
  /** What stands before each. */
  readonly prompt: string;
}

/** The longest sentence: what the folder says, and never more than the model takes. */
export const limitOf = ({ maxSeq }: SentenceConfig, { sizes }: Model, most = Infinity): number =>
  Math.min(maxSeq ?? Infinity, sizes.context, most);

/** A text as the model sees it, and whether its end was cut off. */
export function encode(
  text: string,
  { tokenizer, config, limit, prompt }: Sentences,
): Sentence & { readonly ids: number[]; readonly cut: boolean } {
  const whole = prompt + text;
  const ids = tokenizer.encode(config.lowercase ? whole.toLowerCase() : whole);
  const { suffix } = tokenizer;
  const skip = prompt === "" || config.includePrompt
    ? 0
    : tokenizer.encode(prompt).length - suffix.length;
  if (ids.length <= limit) return { ids, skip: Math.min(skip, ids.length - 1), cut: false };
  const kept = [...ids.slice(0, limit - suffix.length), ...suffix];
  return { ids: kept, skip: Math.min(skip, kept.length - 1), cut: true };
}

/** The prompt that the settings ask for, else that of a task. @throws Fail (usage) for a name that the model does not have */
export function promptOf(
  { prompt, prompt_name: name }: { readonly prompt?: string; readonly prompt_name?: string },
  { prompts, defaultPrompt }: SentenceConfig,
  instruction = "",
): string {
  if (prompt !== undefined) return prompt;
  const asked = name ?? defaultPrompt;
  if (asked === undefined) return instruction;
  const found = prompts[asked];
  if (found !== undefined) return found;
  if (name === undefined) return instruction;
  const known = Object.keys(prompts);
  throw new Fail(`this model has no prompt named ${name}`, {
    why: known.length > 0 ? `it has ${known.join(", ")}` : "it has none",
    fix: 'give the text itself with --prompt "..."',
    exit: Exit.usage,
  });
}
