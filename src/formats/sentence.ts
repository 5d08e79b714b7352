/** Folders of sentence-transformers: which hidden states make an embedding, and what stands before a text. */
import { join } from "node:path";
import { makeFolder } from "../base/disk.ts";
import { writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { isObject, type Json, type JsonObject, parseJson } from "../base/strict_json.ts";
import { bytesIn, fileIn, namesIn, parseObject } from "./model_files.ts";

export const poolings = ["mean", "cls", "last", "mean_sqrt_len"] as const;

/** What modules.json and the files beside it say of an embedding. */
export interface SentenceConfig {
  readonly pooling: (typeof poolings)[number];
  /** Embeddings are made of unit length. */
  readonly normalise: boolean;
  /** Tokens of a prompt are pooled like others. */
  readonly includePrompt: boolean;
  /** Longest text in tokens, special ones included; undefined where nothing says it. */
  readonly maxSeq?: number;
  readonly lowercase: boolean;
  /** What stands before texts of a kind: "query" -> "query: ". */
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt?: string;
}

const MEGABYTE = 2 ** 20;
const TOKENIZER = "tokenizer_config.json";
const MODULES = "modules.json", POOLING = "1_Pooling", NORMALISE = "2_Normalize";
const KEYS: Readonly<Record<string, SentenceConfig["pooling"] | undefined>> = {
  pooling_mode_cls_token: "cls",
  pooling_mode_mean_tokens: "mean",
  pooling_mode_lasttoken: "last",
  pooling_mode_mean_sqrt_len_tokens: "mean_sqrt_len",
};

function unusable(what: string, why: string): Fail {
  return new Fail(what, {
    why,
    fix: "choose another model; a pooling may be replaced: --pooling mean, cls or last",
    exit: Exit.data,
  });
}

/**
 * Reads modules.json and what it names; undefined where there is none.
 * @param instead a pooling in the place of the one that is named there
 * @throws Fail (data) naming a module or a pooling that cannot be computed
 */
export function readSentenceConfig(
  dir: string,
  instead?: SentenceConfig["pooling"],
): SentenceConfig | undefined {
  const file = join(dir, MODULES),
    bytes = namesIn(dir, MODULES).includes(MODULES) &&
      bytesIn(dir, MODULES, MEGABYTE);
  if (!bytes) return undefined;
  const kinds = modulesOf(parseJson(bytes), file);
  const known = ["Transformer", "Pooling", "Normalize"];
  const other = kinds.find(({ kind }) => !known.includes(kind));
  if (other) {
    throw unusable(`${file}: a module of type ${other.kind} cannot be computed`, known.join(", "));
  }
  const pooling = kinds.find(({ kind }) => kind === "Pooling");
  const config = jsonIn(join(dir, pooling?.path ?? POOLING), "config.json") ?? {};
  const texts = jsonIn(dir, "sentence_bert_config.json") ?? {};
  const prompts = jsonIn(dir, "config_sentence_transformers.json") ?? {};
  return {
    pooling: instead ?? poolingOf(config, join(dir, pooling?.path ?? POOLING, "config.json")),
    normalise: kinds.some(({ kind }) => kind === "Normalize"),
    includePrompt: config.include_prompt !== false,
    maxSeq: typeof texts.max_seq_length === "number" ? texts.max_seq_length : undefined,
    lowercase: texts.do_lower_case === true,
    prompts: isObject(prompts.prompts) ? stringsOf(prompts.prompts) : {},
    defaultPrompt: typeof prompts.default_prompt_name === "string"
      ? prompts.default_prompt_name
      : undefined,
  };
}

function modulesOf(value: Json, file: string): { kind: string; path: string }[] {
  if (!Array.isArray(value)) throw unusable(`${file} is not a list of modules`, "a JSON list");
  return value.map((module) => {
    const { type, path } = isObject(module) ? module : {};
    const plain = typeof path === "string" && /^[\w-]*$/.test(path);
    if (typeof type !== "string" || !plain) {
      throw unusable(`${file}: ${JSON.stringify(module)} is no module`, "type and path, a folder");
    }
    return { kind: type.split(".").at(-1)!, path };
  });
}

function poolingOf(config: JsonObject, file: string): SentenceConfig["pooling"] {
  const named = config.pooling_mode;
  const asked = typeof named === "string"
    ? [named === "lasttoken" ? "last" : named]
    : Object.keys(config).filter((key) => /^pooling_mode_/.test(key) && config[key] === true)
      .map((key) => KEYS[key] ?? key);
  const found = poolings.find((pooling) => pooling === asked[0]);
  if (asked.length !== 1 || !found) {
    throw unusable(
      `${file}: pooling by ${asked.join(" and ") || "nothing"} cannot be computed`,
      `one of ${poolings.join(", ")} can`,
    );
  }
  return found;
}

function jsonIn(dir: string, name: string): JsonObject | undefined {
  try {
    if (fileIn(dir, name) === undefined) return undefined;
  } catch (error) {
    if (error instanceof Fail) throw error;
    return undefined; // no such folder
  }
  return parseObject(bytesIn(dir, name, MEGABYTE)!, join(dir, name));
}

function stringsOf(object: JsonObject): Record<string, string> {
  return Object.fromEntries(
    Object.entries(object).filter((entry): entry is [string, string] =>
      typeof entry[1] === "string"
    ),
  );
}

/**
 * Writes what sentence-transformers needs beside a model or an adapter to load the folder as it is:
 * modules.json last. Texts of different lengths are padded there, so tokenizer_config.json gets a token for it
 * where it names none; what is padded is not seen.
 * @param width of the embeddings
 * @param pad text of a token, for that
 * @throws Fail (disk)
 */
export async function writeSentenceConfig(
  dir: string,
  { pooling, normalise, includePrompt, maxSeq, lowercase, prompts, defaultPrompt }: SentenceConfig,
  width: number,
  pad?: string,
): Promise<void> {
  const write = (name: string, value: unknown) =>
    writeFile(join(dir, name), JSON.stringify(value, null, 2) + "\n");
  await makeFolder(join(dir, POOLING));
  const tokenizer = jsonIn(dir, TOKENIZER);
  if (tokenizer && pad !== undefined && (tokenizer.pad_token ?? null) === null) {
    await write(TOKENIZER, { ...tokenizer, pad_token: pad });
  }
  const modes = Object.entries(KEYS).map(([key, mode]) => [key, mode === pooling]);
  await write(join(POOLING, "config.json"), {
    word_embedding_dimension: width,
    ...Object.fromEntries(modes),
    pooling_mode_max_tokens: false,
    pooling_mode_weightedmean_tokens: false,
    include_prompt: includePrompt,
  });
  await write("sentence_bert_config.json", {
    ...(maxSeq === undefined ? {} : { max_seq_length: maxSeq }),
    do_lower_case: lowercase,
  });
  await write("config_sentence_transformers.json", {
    prompts,
    default_prompt_name: defaultPrompt ?? null,
    similarity_fn_name: "cosine",
  });
  const kinds = ["Transformer", "Pooling", ...(normalise ? ["Normalize"] : [])];
  if (normalise) await makeFolder(join(dir, NORMALISE));
  const paths = ["", POOLING, NORMALISE];
  await write(
    MODULES,
    kinds.map((kind, idx) => ({
      idx,
      name: String(idx),
      path: paths[idx],
      type: `sentence_transformers.models.${kind}`,
    })),
  );
}
