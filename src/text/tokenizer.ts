import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import type { Range } from "./added_tokens.ts";
import { tokenByte } from "./bpe.ts";
import { fromByteLevel } from "./byte_level.ts";
import { createDecoder } from "./decoders.ts";
import { byteStream, type TextStream, windowStream } from "./detokenize.ts";
import { createTextEncoder } from "./text_encoder.ts";
import { surroundingsOf } from "./post_processors.ts";
import { readSentencePiece, sentencePieceJson, sentencePieceRules } from "./sentencepiece.ts";
import type { Pieces } from "./spm_bpe.ts";
import {
  isObject,
  type Json,
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
   * never a second BOS before one that the text begins with. `plain` keeps special tokens that are
   * written out in the text as text: all of them, or those that touch one of the ranges.
   */
  encode(
    text: string,
    options?: { special?: boolean; plain?: boolean | readonly Range[] },
  ): number[];
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
  /** The bytes that a token adds in the middle of a text; undefined for special tokens and padding. */
  bytesOf(id: number): Uint8Array | undefined;
  idOf(token: string): number | undefined;
  isSpecial(id: number): boolean;
  readonly addsBos: boolean;
  /** Ids put before and after every text by default. */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  /** tokenizer.json (checked, see readTokenizerJson) and tokenizer_config.json. */
  readonly json: TokenizerJson;
  readonly config: Json;
  /** Scores and kinds of a SentencePiece vocabulary, where it was read from one. */
  readonly pieces?: Pieces;
}

export interface TokenizerFiles {
  /** tokenizer.json, parsed. */
  readonly json: unknown;
  /** tokenizer_config.json over special_tokens_map.json; empty when there is none. */
  readonly config?: Json;
  readonly modelConfig?: Json;
  readonly generationConfig?: Json;
  /** For a SentencePiece vocabulary; a BPE is then joined by scores. */
  readonly pieces?: Pieces;
}

const largestFile = 512 * 2 ** 20;

async function readBytes(dir: string, name: string): Promise<Buffer | undefined> {
  const path = join(dir, name);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  if (!found.isFile() || found.size > largestFile) {
    throw new Fail(`${path} is not a file of at most 512 MiB`, { exit: Exit.data });
  }
  const bytes = await readFile(path);
  if (bytes.toString("latin1", 0, 32).startsWith("version https://git-lfs")) {
    throw new Fail(`${path} is a Git LFS pointer, not the file itself`, {
      fix: "run `git lfs pull` in the model folder",
      exit: Exit.data,
    });
  }
  return bytes;
}

async function readJson(dir: string, name: string): Promise<Json | undefined> {
  const path = join(dir, name);
  const text = (await readBytes(dir, name))?.toString("utf8");
  if (text === undefined) return undefined;
  try {
    const parsed: unknown = JSON.parse(text);
    if (isObject(parsed)) return parsed;
  } catch (cause) {
    throw new Fail(`${path} is not JSON`, { why: String(cause), cause, exit: Exit.data });
  }
  throw new Fail(`${path} is not a JSON object`, { exit: Exit.data });
}

/**
 * The tokenizer of a Hugging Face model folder: tokenizer.json, else tokenizer.model, with
 * tokenizer_config.json, special_tokens_map.json, generation_config.json and config.json where they
 * exist.
 *
 * @throws Fail when there is neither, or it breaks a rule
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
  try {
    const files = { config: { ...specials, ...config }, modelConfig, generationConfig };
    if (json !== undefined) return createTokenizer({ ...files, json });
    const sentencePiece = await readBytes(dir, "tokenizer.model");
    if (sentencePiece !== undefined) {
      const added = await readJson(dir, "added_tokens.json");
      return sentencePieceTokenizer(sentencePiece, files, added ?? {});
    }
    throw new Fail("there is no tokenizer.json and no tokenizer.model", {
      why: "a model folder needs its tokenizer",
      fix: "copy tokenizer.json from the model's repository into the folder",
      exit: Exit.data,
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

/** The tokenizer of a tokenizer.model, with the tokens that were added to it since. */
function sentencePieceTokenizer(
  bytes: Uint8Array,
  files: Omit<TokenizerFiles, "json"> & { readonly config: Json },
  added: Json,
): Tokenizer {
  const model = readSentencePiece(bytes);
  const rules = sentencePieceRules(model, files.config);
  const json = sentencePieceJson(rules);
  const named = (kind: string, id: number | undefined) =>
    id === undefined ? {} : { [`${kind}_token`]: model.pieces.texts[id]! };
  const more = Object.entries(added).map(([content, id]) => ({ content, id }));
  return createTokenizer({
    ...files,
    json: { ...json, added_tokens: [...json.added_tokens as Json[], ...more] },
    config: {
      ...named("bos", model.bos),
      ...named("eos", model.eos),
      ...named("pad", model.pad),
      ...named("unk", model.unk),
      ...files.config,
    },
    pieces: model.pieces,
  });
}

/**
 * A tokenizer from parsed files. Ids equal those of Hugging Face tokenizers (Rust).
 *
 * @throws Fail when tokenizer.json is damaged or uses a part that is not supported
 */
export function createTokenizer(files: TokenizerFiles): Tokenizer {
  const config = files.config ?? {};
  const { json, vocab, tokens } = readTokenizerJson(files.json, config);

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

  const { prefix, suffix } = surroundingsOf(json.post_processor);
  const encoding = createTextEncoder(json, vocab, files.pieces);
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
  const read = createDecoder(json.decoder);
  const decodeAll = (ids: readonly number[]): string =>
    read(
      ids.map((id) => encoding.added.get(id) ?? checked(id))
        .filter((token) => token !== undefined),
    ).join("");
  const byteOf = (id: number): number | undefined => tokenByte(checked(id) ?? "");
  const decoder = ({ skipSpecial = false } = {}): TextStream => {
    const stream = byteLevel ? byteStream(bytesOf) : windowStream(decodeAll, byteOf);
    if (!skipSpecial) return stream;
    return { ...stream, push: (id) => isSpecial(id) ? "" : stream.push(id) };
  };

  return {
    vocabSize,
    encode(text, { special = true, plain } = {}) {
      const ids = encoding.encode(text, plain);
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
    bytesOf(id) {
      const text = textOf[id];
      if (text === undefined || isSpecial(id)) return undefined;
      if (byteLevel) return bytesOf(id);
      const byte = tokenByte(text);
      return byte === undefined ? utf8.encode(text.replaceAll("▁", " ")) : Uint8Array.of(byte);
    },
    idOf: (token) => tokens.get(token),
    isSpecial,
    addsBos: bos !== undefined && prefix.includes(bos),
    prefix,
    suffix,
    json,
    config,
    pieces: files.pieces,
  };
}
