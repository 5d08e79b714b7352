import { Exit, Fail } from "../base/fail.ts";

/** A parsed JSON object whose fields have not been looked at yet. */
export type Json = Readonly<Record<string, unknown>>;

/** A token that is matched in the text before the model sees it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly normalized: boolean;
  readonly singleWord: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Whether tokenizer.json itself lists it. */
  readonly listed: boolean;
}

export interface TokenizerJson extends Json {
  readonly model: Json & { readonly type: string };
  readonly added_tokens: readonly (AddedToken & Json)[];
}

const limits = { tokens: 2_000_000, tokenBytes: 65_536 };

export const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A Fail about a damaged tokenizer.json. */
export const badJson = (what: string, why: string): Fail =>
  new Fail(`tokenizer.json: ${what}`, {
    why,
    fix: "download the model's tokenizer files again",
    exit: Exit.data,
  });

/** "<s>" or {"content": "<s>"} as special tokens are written in tokenizer_config.json. */
export function tokenContent(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return isObject(value) && typeof value.content === "string" ? value.content : undefined;
}

/** Every step of a (possibly nested) pre-tokenizer, in order. */
export function preTokenizerSteps(step: unknown): readonly Json[] {
  if (!isObject(step)) return [];
  if (Array.isArray(step.pretokenizers)) return step.pretokenizers.flatMap(preTokenizerSteps);
  return [step];
}

/** Every step of a (possibly nested) normalizer, in order. */
export function normalizerSteps(step: unknown): readonly Json[] {
  if (!isObject(step)) return [];
  return Array.isArray(step.normalizers) ? step.normalizers.flatMap(normalizerSteps) : [step];
}

/** Whether a tokenizer puts a space before the first word of every text (Llama 2's "▁"). */
export function prependsSpace({ json }: { readonly json: TokenizerJson }): boolean {
  return normalizerSteps(json.normalizer).some(({ type }) => type === "Prepend") ||
    preTokenizerSteps(json.pre_tokenizer).some((step) =>
      step.add_prefix_space === true ||
      (step.type === "Metaspace" && step.prepend_scheme !== "never" &&
        step.add_prefix_space !== false)
    );
}

/** Vocabulary as token -> id from the model's object (BPE, WordPiece) or list (Unigram). */
function vocabulary(model: Json): Map<string, number> {
  if (isObject(model.vocab)) return new Map(Object.entries(model.vocab) as [string, number][]);
  if (Array.isArray(model.vocab)) {
    return new Map(model.vocab.map((entry: unknown, id) => {
      if (!Array.isArray(entry) || typeof entry[0] !== "string") {
        throw badJson(`vocabulary entry ${id} is not [text, score]`, "the file is damaged");
      }
      return [entry[0], id];
    }));
  }
  throw badJson("there is no vocabulary", "model.vocab is missing");
}

function checkVocabulary(tokens: ReadonlyMap<string, number>, added: readonly AddedToken[]): void {
  if (tokens.size + added.length > limits.tokens) {
    throw badJson(`${tokens.size} tokens`, `at most ${limits.tokens} are read`);
  }
  const owner = new Map<number, string>();
  const check = (token: string, id: number) => {
    if (!Number.isInteger(id) || id < 0 || id >= limits.tokens) {
      throw badJson(`token ${JSON.stringify(token)} has id ${String(id)}`, "ids count up from 0");
    }
    if (token.length > limits.tokenBytes) {
      throw badJson(`token ${id} is too long`, "at most 64 KiB");
    }
    const other = owner.get(id);
    if (other !== undefined && other !== token) {
      throw badJson(`id ${id} belongs to two tokens`, `${JSON.stringify([other, token])}`);
    }
    owner.set(id, token);
  };
  for (const [token, id] of tokens) check(token, id);
  for (const { content, id } of added) check(content, id);
}

/** The two parts of a merge, written "a b" in older files and ["a", "b"] in newer ones. */
export function mergeParts(merge: unknown): readonly [string, string] {
  const parts = typeof merge === "string" ? merge.split(" ") : merge;
  if (
    Array.isArray(parts) && parts.length === 2 && typeof parts[0] === "string" &&
    typeof parts[1] === "string"
  ) {
    return [parts[0], parts[1]];
  }
  throw badJson(`merge ${JSON.stringify(merge)?.slice(0, 80)}`, "a merge has exactly two parts");
}

/** Special tokens that tokenizer_config.json names. */
function namedTokens(config: Json): string[] {
  const more = config.additional_special_tokens;
  return [
    ...["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map((kind) => config[`${kind}_token`]),
    ...(Array.isArray(more) ? more : []),
  ].map(tokenContent).filter((content) => content !== undefined);
}

/** Added tokens of both files; a named special token that is in the vocabulary is one as well. */
function addedTokens(
  json: Json,
  config: Json,
  vocab: ReadonlyMap<string, number>,
): (AddedToken & Json)[] {
  const listed: unknown[] = Array.isArray(json.added_tokens) ? json.added_tokens : [];
  const decoder = isObject(config.added_tokens_decoder) ? config.added_tokens_decoder : {};
  const more = Object.entries(decoder).map(([id, token]) =>
    isObject(token) ? { ...token, id: Number(id) } : token
  );
  const names = new Set(namedTokens(config));
  const named = [...names].flatMap((content) => {
    const id = vocab.get(content);
    return id === undefined ? [] : [{ id, content, special: true }];
  });
  const byContent = new Map<string, AddedToken & Json>();
  for (const [i, token] of [...listed, ...more, ...named].entries()) {
    if (!isObject(token) || typeof token.content !== "string" || typeof token.id !== "number") {
      throw badJson(
        `added token ${JSON.stringify(token)?.slice(0, 80)}`,
        "it needs content and id",
      );
    }
    if (token.content === "" || byContent.has(token.content)) continue;
    byContent.set(token.content, {
      ...token,
      id: token.id,
      content: token.content,
      special: token.special === true || names.has(token.content),
      normalized: token.normalized === true,
      singleWord: token.single_word === true,
      lstrip: token.lstrip === true,
      rstrip: token.rstrip === true,
      listed: i < listed.length,
    });
  }
  return [...byContent.values()];
}

/**
 * Checks a parsed tokenizer.json and makes it ready for the tokenizer: added tokens of
 * tokenizer_config.json join.
 *
 * @throws Fail on a missing part, ids that clash or are out of range
 */
export function readTokenizerJson(json: unknown, config: Json): {
  readonly json: TokenizerJson;
  /** The model's own tokens. */
  readonly vocab: ReadonlyMap<string, number>;
  /** The same with added tokens. */
  readonly tokens: ReadonlyMap<string, number>;
} {
  if (!isObject(json) || !isObject(json.model)) {
    throw badJson("it has no model", "the file is damaged");
  }
  const model = json.model;
  // Files older than the type field are byte-level BPE.
  const type = typeof model.type === "string" ? model.type : "BPE";
  const tokens = vocabulary(model);
  const added_tokens = addedTokens(json, config, tokens);
  checkVocabulary(tokens, added_tokens);
  const all = new Map(tokens);
  for (const { content, id } of added_tokens) all.set(content, id);
  return {
    json: {
      normalizer: null,
      post_processor: null,
      decoder: null,
      ...json,
      model: { ...model, type },
      added_tokens,
      pre_tokenizer: json.pre_tokenizer ?? null,
    },
    vocab: tokens,
    tokens: all,
  };
}
