import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { Tokenizer as Library } from "@huggingface/tokenizers";
import { Exit, Fail } from "../base/fail.ts";
import { fromByteLevel } from "./byte_level.ts";
import { byteStream, type TextStream, windowStream } from "./detokenize.ts";
import {
  isObject,
  type Json,
  preTokenizerSteps,
  readTokenizerJson,
  tokenContent,
  type TokenizerJson,
} from "./tokenizer_json.ts";

/** Text to token ids and back, as Hugging Face tokenizers do it. */
export interface Tokenizer {
  /** One more than the largest id that has a token. A model may have more rows than that. */
  readonly vocabSize: number;
  /**
   * Token ids of a text. Special tokens written out in the text are recognised.
   * `special` (default true) puts the tokens around it that the tokenizer adds by default, and
   * never a second BOS before one that the text begins with.
   */
  encode(text: string, options?: { special?: boolean }): number[];
  /**
   * Text of token ids. Ids that only pad the model's vocabulary are empty text; others are a Fail.
   * `skipSpecial` (default false) leaves special tokens out.
   */
  decode(ids: readonly number[], options?: { skipSpecial?: boolean }): string;
  /** A stream that gives the same text as decode, piece by piece. */
  decoder(options?: { skipSpecial?: boolean }): TextStream;
  readonly bos?: number;
  readonly eos?: number;
  readonly pad?: number;
  readonly unk?: number;
  /** Every id that ends generation: eos and the lists of generation_config.json, config.json. */
  readonly eosIds: readonly number[];
  /** The token as the vocabulary writes it ("Ġthe"), undefined where the id has none. */
  tokenText(id: number): string | undefined;
  idOf(token: string): number | undefined;
  isSpecial(id: number): boolean;
  readonly addsBos: boolean;
  /** Ids put before and after every text by default. */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  /** tokenizer.json (checked, see readTokenizerJson) and tokenizer_config.json. */
  readonly json: TokenizerJson;
  readonly config: Json;
}

export interface TokenizerFiles {
  /** tokenizer.json, parsed. */
  readonly json: unknown;
  /** tokenizer_config.json over special_tokens_map.json; empty when there is none. */
  readonly config?: Json;
  readonly modelConfig?: Json;
  readonly generationConfig?: Json;
}

const largestFile = 512 * 2 ** 20;

async function readJson(dir: string, name: string): Promise<Json | undefined> {
  const path = join(dir, name);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  if (!found.isFile() || found.size > largestFile) {
    throw new Fail(`${path} is not a readable JSON file`, { exit: Exit.data });
  }
  const text = await readFile(path, "utf8");
  if (text.startsWith("version https://git-lfs")) {
    throw new Fail(`${path} is a Git LFS pointer, not the file itself`, {
      fix: "run `git lfs pull` in the model folder",
      exit: Exit.data,
    });
  }
  try {
    const parsed: unknown = JSON.parse(text);
    if (isObject(parsed)) return parsed;
  } catch (cause) {
    throw new Fail(`${path} is not JSON`, { why: String(cause), cause, exit: Exit.data });
  }
  throw new Fail(`${path} is not a JSON object`, { exit: Exit.data });
}

/**
 * The tokenizer of a Hugging Face model folder: tokenizer.json, with tokenizer_config.json,
 * special_tokens_map.json, generation_config.json and config.json where they exist.
 *
 * @throws Fail when there is no tokenizer.json or it breaks a rule
 */
export async function loadTokenizer(dir: string): Promise<Tokenizer> {
  const folder = await stat(dir).catch(() => undefined);
  if (!folder?.isDirectory()) {
    throw new Fail(`${dir}: ${folder ? "this is a file" : "there is no such folder"}`, {
      why: "a model is a folder with config.json, *.safetensors and tokenizer.json, or a GGUF file",
      fix: "check the path given with -m",
      exit: Exit.data,
    });
  }
  const [json, config, specials, modelConfig, generationConfig] = await Promise.all(
    [
      "tokenizer.json",
      "tokenizer_config.json",
      "special_tokens_map.json",
      "config.json",
      "generation_config.json",
    ].map((name) => readJson(dir, name)),
  );
  if (json === undefined) {
    const sentencePiece = await stat(join(dir, "tokenizer.model")).catch(() => undefined);
    throw new Fail(`${dir} has no tokenizer.json`, {
      why: sentencePiece === undefined
        ? "a model folder needs its tokenizer"
        : "tokenizer.model (SentencePiece) cannot be read yet",
      fix: sentencePiece === undefined
        ? "copy tokenizer.json from the model's repository into the folder"
        : "save the tokenizer once with transformers: it writes tokenizer.json",
      exit: Exit.data,
    });
  }
  try {
    return createTokenizer({
      json,
      config: { ...specials, ...config },
      modelConfig,
      generationConfig,
    });
  } catch (error) {
    if (!(error instanceof Fail)) throw error;
    const { why, fix, exit, cause } = error;
    throw new Fail(`${dir}: ${error.message}`, { why, fix, exit, cause });
  }
}

/** Integer ids of a config value that is one id, a list of ids, or nothing. */
function idList(value: unknown): number[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.filter((id): id is number => Number.isInteger(id) && Number(id) >= 0);
}

/**
 * A byte-level tokenizer loses nothing, so the pieces hold as many byte characters as the text has
 * bytes. A regular expression that the engine gives up on, or a byte outside the vocabulary, would
 * otherwise drop text without a word.
 */
function guardLosslessness(library: Library, json: TokenizerJson): void {
  const steps = preTokenizerSteps(json.pre_tokenizer);
  const lossless = steps.every(({ type, behavior, invert, add_prefix_space }) =>
    (type === "ByteLevel" && add_prefix_space !== true) ||
    (type === "Split" && behavior !== "Removed" && invert !== true)
  );
  if (steps.at(-1)?.type !== "ByteLevel" || !lossless || json.model.type !== "BPE") return;
  const { pre_tokenizer: split, model } = library;
  if (split === null || model === null || json.model.unk_token) return;

  const lengthOf = (pieces: readonly string[]) =>
    pieces.reduce((sum, piece) => sum + piece.length, 0);
  const lost = (why: string) =>
    new Fail("the tokenizer would lose part of the text", {
      why,
      fix: "use the tokenizer files that belong to the model",
      exit: Exit.data,
    });
  library.pre_tokenizer = new Proxy(split, {
    apply(target, self, [text, options]: [string, unknown]) {
      const pieces = Reflect.apply(target, self, [text, options]) as string[];
      if (lengthOf(pieces) === Buffer.byteLength(text)) return pieces;
      throw lost("its pre-tokenizer did not split this text completely");
    },
  });
  library.model = new Proxy(model, {
    apply(target, self, [pieces]: [string[]]) {
      const tokens = Reflect.apply(target, self, [pieces]) as string[];
      if (lengthOf(tokens) === lengthOf(pieces)) return tokens;
      throw lost("its vocabulary does not hold every byte of this text");
    },
  });
}

/** Where `inner` begins in `outer`, -1 when it does not occur. */
function indexOfRun(outer: readonly number[], inner: readonly number[]): number {
  for (let at = 0; at + inner.length <= outer.length; at++) {
    if (inner.every((id, i) => outer[at + i] === id)) return at;
  }
  return -1;
}

/** Ids the tokenizer puts before and after a text by default. */
function surroundings(library: Library): { prefix: number[]; suffix: number[] } {
  const body = library.encode("a", { add_special_tokens: false }).ids;
  const whole = library.encode("a").ids;
  const at = indexOfRun(whole, body);
  if (at < 0) return { prefix: [], suffix: [] };
  return { prefix: whole.slice(0, at), suffix: whole.slice(at + body.length) };
}

/**
 * A tokenizer from parsed files. Ids equal those of Hugging Face tokenizers (Rust).
 *
 * @throws Fail when tokenizer.json is damaged or uses a part that is not supported
 */
export function createTokenizer(files: TokenizerFiles): Tokenizer {
  const config = files.config ?? {};
  const { json, tokens } = readTokenizerJson(files.json, config);
  const library = construct(json, config);
  guardLosslessness(library, json);

  const textOf: (string | undefined)[] = [];
  for (const [token, id] of tokens) textOf[id] = token;
  const vocabSize = textOf.length;
  const padded = Math.max(vocabSize, Number(files.modelConfig?.vocab_size) || 0);

  const named = (name: string): number | undefined => {
    const content = tokenContent(config[name]);
    if (content !== undefined) return tokens.get(content);
    if (name in config || Object.keys(config).length > 0) return undefined;
    return idList(files.modelConfig?.[`${name}_id`])[0];
  };
  const bos = named("bos_token");
  const pad = named("pad_token");
  const unk = named("unk_token") ?? tokens.get(tokenContent(json.model.unk_token) ?? "");
  const listed = [files.generationConfig, files.modelConfig].flatMap((c) =>
    idList(c?.eos_token_id)
  );
  const eos = named("eos_token") ?? listed[0];
  const eosIds = [...new Set(eos === undefined ? listed : [eos, ...listed])];

  const added = new Map(json.added_tokens.map((token) => [token.id, token]));
  const special = new Set(json.added_tokens.filter((token) => token.special).map(({ id }) => id));
  for (const name of ["bos", "eos", "unk", "sep", "pad", "cls", "mask"]) {
    const id = tokens.get(tokenContent(config[`${name}_token`]) ?? "");
    if (id !== undefined) special.add(id);
  }
  for (
    const extra of Array.isArray(config.additional_special_tokens)
      ? config.additional_special_tokens
      : []
  ) {
    const id = tokens.get(tokenContent(extra) ?? "");
    if (id !== undefined) special.add(id);
  }

  const { prefix, suffix } = surroundings(library);
  const isSpecial = (id: number) => special.has(id);
  const checked = (id: number): string | undefined => {
    if (!Number.isInteger(id) || id < 0 || id >= padded) {
      throw new Fail(`token id ${id} is outside the vocabulary (0 to ${padded - 1})`, {
        why: "these ids were made with another tokenizer",
        exit: Exit.data,
      });
    }
    return textOf[id];
  };

  const byteLevel = isObject(json.decoder) && json.decoder.type === "ByteLevel";
  const utf8 = new TextEncoder();
  const bytesOf = (id: number): Uint8Array | undefined => {
    const text = checked(id);
    if (text === undefined) return undefined;
    return added.has(id) ? utf8.encode(text) : fromByteLevel(text);
  };
  const decodeAll = (ids: readonly number[]): string => {
    const known = ids.filter((id) => checked(id) !== undefined);
    if (known.length === 0) return "";
    return library.decode(known, { clean_up_tokenization_spaces: false });
  };
  const decoder = ({ skipSpecial = false } = {}): TextStream => {
    const stream = byteLevel ? byteStream(bytesOf) : windowStream(decodeAll);
    if (!skipSpecial) return stream;
    return { ...stream, push: (id) => isSpecial(id) ? "" : stream.push(id) };
  };

  return {
    vocabSize,
    encode(text, { special = true } = {}) {
      const body = library.encode(text, { add_special_tokens: false })
        .ids as (number | undefined)[];
      if (body.includes(undefined)) {
        throw new Fail("the tokenizer has no token for part of the text", {
          why: "its vocabulary has no unknown token",
          exit: Exit.data,
        });
      }
      const ids = body as number[];
      if (!special) return ids;
      const doubled = bos !== undefined && prefix.at(-1) === bos && ids[0] === bos;
      return [...prefix, ...(doubled ? ids.slice(1) : ids), ...suffix];
    },
    decode(ids, { skipSpecial = false } = {}) {
      const wanted = skipSpecial ? ids.filter((id) => !isSpecial(id)) : ids;
      if (!byteLevel) return decodeAll(wanted);
      const stream = byteStream(bytesOf);
      return wanted.map((id) => stream.push(id)).join("") + stream.flush();
    },
    decoder,
    bos,
    eos,
    pad,
    unk,
    eosIds,
    tokenText: (id) => textOf[id],
    idOf: (token) => tokens.get(token),
    isSpecial,
    addsBos: bos !== undefined && prefix.includes(bos),
    prefix,
    suffix,
    json,
    config,
  };
}

function construct(json: TokenizerJson, config: Json): Library {
  try {
    return new Library(json, { ...config, clean_up_tokenization_spaces: false });
  } catch (cause) {
    throw new Fail("tokenizer.json uses something whet does not know", {
      why: cause instanceof Error ? cause.message : String(cause),
      exit: Exit.data,
      cause,
    });
  }
}
