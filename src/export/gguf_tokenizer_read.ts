import { Exit, Fail } from "../base/fail.ts";
import {
  booleanAt,
  integerAt,
  type Metadata,
  numbersAt,
  stringAt,
  stringsAt,
} from "../formats/gguf_types.ts";
import { type ChatTemplate, createChatTemplate } from "../text/chat_template.ts";
import { sentencePieceJson } from "../text/sentencepiece.ts";
import { type Pieces, pieceType } from "../text/spm_bpe.ts";
import { createTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import type { Json } from "../text/tokenizer_json.ts";
import { pretokenizerSteps } from "./pretokenizer.ts";

const broken = (what: string): Fail =>
  new Fail(what, { fix: "convert the model to GGUF again", exit: Exit.data });

const key = (end: string) => `tokenizer.ggml.${end}`;

/** Special tokens by the name that tokenizer_config.json has for them. */
const kinds = {
  bos: "bos_token",
  eos: "eos_token",
  unknown: "unk_token",
  padding: "pad_token",
  seperator: "sep_token",
  cls: "cls_token",
  mask: "mask_token",
} as const;
type Kind = keyof typeof kinds;

interface Vocabulary {
  readonly pieces: Pieces;
  readonly ids: Readonly<Partial<Record<Kind, number>>>;
}

function readVocabulary(metadata: Metadata): Vocabulary {
  const texts = stringsAt(metadata, key("tokens"));
  if (texts === undefined) throw broken("the GGUF vocabulary is incomplete: it has no tokens");
  const numbers = (end: string, name: string, otherwise: number) => {
    const values = numbersAt(metadata, key(end)) ?? texts.map(() => otherwise);
    if (values.length === texts.length) return values;
    throw broken(`${values.length} ${name} for ${texts.length} tokens`);
  };
  const types = numbers("token_type", "token types", pieceType.normal);
  const scores = numbers("scores", "scores", 0);
  const wrong = scores.findIndex((score) => !Number.isFinite(score));
  if (wrong >= 0) throw broken(`token ${wrong} has score ${scores[wrong]}`);
  const ids = Object.fromEntries(
    Object.keys(kinds).map((kind) => [
      kind,
      integerAt(metadata, key(`${kind}_token_id`), { max: texts.length - 1 }),
    ]),
  ) as Partial<Record<Kind, number>>;
  return { pieces: { texts, scores, types }, ids };
}

/** Tokens that are found in the text as they are: control tokens, and those of the user. */
function addedTokens({ pieces: { texts, types } }: Vocabulary): Json[] {
  return texts.flatMap((content, id) => {
    const special = types[id] === pieceType.control;
    return special || types[id] === pieceType.userDefined ? [{ id, content, special }] : [];
  });
}

/** What is put around a text: the tokens of these ids. */
function template({ texts }: Pieces, before: number | undefined, after: number | undefined): Json {
  const step = (id: number | undefined) =>
    id === undefined ? [] : [{ SpecialToken: { id: texts[id]!, type_id: 0 } }];
  return {
    type: "TemplateProcessing",
    single: [...step(before), { Sequence: { id: "A", type_id: 0 } }, ...step(after)],
    pair: [],
    special_tokens: Object.fromEntries(
      [before, after].filter((id) => id !== undefined)
        .map((id) => [texts[id]!, { id: texts[id]!, ids: [id], tokens: [texts[id]!] }]),
    ),
  };
}

/** Tokens of one type as text to id; the first of equal ones. */
function idsByText({ texts, types }: Pieces, spell: (text: string) => string): Json {
  const vocab: Record<string, number> = Object.create(null);
  for (const [id, text] of texts.entries()) {
    if (types[id] === pieceType.normal) vocab[spell(text)] ??= id;
  }
  return vocab;
}

function byteLevelJson(metadata: Metadata, vocabulary: Vocabulary): Json {
  const { pieces, ids } = vocabulary;
  const merges = stringsAt(metadata, key("merges"));
  if (merges === undefined) throw broken("the GGUF vocabulary is incomplete: it has no merges");
  const pre = stringAt(metadata, key("pre")) ?? "default";
  const { pre_tokenizer, ignore_merges } = pretokenizerSteps(pre);
  const adds = (kind: "bos" | "eos", otherwise: boolean) =>
    booleanAt(metadata, key(`add_${kind}_token`)) ?? otherwise ? ids[kind] : undefined;
  return {
    added_tokens: addedTokens(vocabulary),
    pre_tokenizer,
    post_processor: template(pieces, adds("bos", pre === "llama-bpe"), adds("eos", false)),
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab: idsByText(pieces, (text) => text), merges, ignore_merges },
  };
}

/** WordPiece: a word's first token begins with "▁", any other is a continuation. */
function wordPieceJson(metadata: Metadata, vocabulary: Vocabulary): Json {
  const { pieces, ids } = vocabulary;
  const lowercase = booleanAt(metadata, key("normalizer.lowercase")) ??
    booleanAt(metadata, "tokenizer.normalizer.lowercase") ?? true;
  const vocab = idsByText(
    pieces,
    (text) => text.startsWith("\u2581") ? text.slice(1) : `##${text}`,
  ) as Record<string, number>;
  const unknown = ids.unknown ?? 100;
  const unk = pieces.texts[unknown];
  if (unk === undefined) throw broken("the GGUF vocabulary has no unknown token");
  return {
    added_tokens: addedTokens(vocabulary),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: booleanAt(metadata, "tokenizer.normalizer.strip_accents") ?? null,
      lowercase,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: template(
      pieces,
      booleanAt(metadata, key("add_bos_token")) === false ? undefined : ids.bos ?? ids.cls,
      booleanAt(metadata, key("add_eos_token")) === false ? undefined : ids.seperator ?? ids.eos,
    ),
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: { type: "WordPiece", unk_token: unk, vocab: { ...vocab, [unk]: unknown } },
  };
}

function sentencePieceOf(
  metadata: Metadata,
  vocabulary: Vocabulary,
  kind: "bpe" | "unigram",
): Json {
  const { pieces, ids } = vocabulary;
  const flag = (end: string, otherwise: boolean) => booleanAt(metadata, key(end)) ?? otherwise;
  const types = Array.from(pieces.types);
  const unk = ids.unknown ?? types.indexOf(pieceType.unknown);
  if (unk < 0) throw broken("the GGUF vocabulary has no unknown token");
  const map = numbersAt(metadata, key("precompiled_charsmap")) ?? [];
  const json = sentencePieceJson({
    kind,
    pieces,
    unk,
    bos: ids.bos ?? (kind === "bpe" ? 1 : undefined),
    eos: ids.eos ?? (kind === "bpe" ? 2 : 1),
    byteFallback: types.includes(pieceType.byte),
    dummyPrefix: flag("add_space_prefix", true),
    removeSpaces: flag("remove_extra_whitespaces", false),
    charsMap: Buffer.from(map).toString("base64"),
    addBos: flag("add_bos_token", kind === "bpe"),
    addEos: flag("add_eos_token", kind === "unigram"),
    prefixOnce: false,
  });
  const found = addedTokens(vocabulary).filter(({ id }) => id !== unk);
  const unknown = { id: unk, content: pieces.texts[unk]!, special: true };
  return { ...json, added_tokens: [unknown, ...found] };
}

/**
 * The tokenizer inside a GGUF file: byte-level BPE ("gpt2"), SentencePiece's BPE ("llama") and
 * unigram ("t5"), WordPiece ("bert").
 *
 * @throws Fail for other kinds, an unknown pre-tokenizer, or lists that do not fit together
 */
export function tokenizerFromGguf(metadata: Metadata): Tokenizer {
  const model = stringAt(metadata, key("model"));
  const known = ["gpt2", "llama", "t5", "bert"];
  if (model === undefined || !known.includes(model)) {
    throw new Fail(
      `the GGUF tokenizer is ${model ?? "missing"}, expected one of ${known.join(", ")}`,
      {
        why: "whet reads no other kind from GGUF yet",
        fix: "use the model's Hugging Face folder",
        exit: Exit.data,
      },
    );
  }
  const vocabulary = readVocabulary(metadata);
  const { pieces, ids } = vocabulary;
  const json = model === "gpt2"
    ? byteLevelJson(metadata, vocabulary)
    : model === "bert"
    ? wordPieceJson(metadata, vocabulary)
    : sentencePieceOf(metadata, vocabulary, model === "llama" ? "bpe" : "unigram");
  const config: Record<string, unknown> = {
    chat_template: stringAt(metadata, "tokenizer.chat_template"),
  };
  for (const [kind, name] of Object.entries(kinds)) {
    const id = ids[kind as Kind];
    config[name] = id === undefined ? undefined : pieces.texts[id];
  }
  return createTokenizer({
    json,
    config,
    modelConfig: { vocab_size: pieces.texts.length },
    ...(model === "llama" || model === "t5" ? { pieces } : {}),
  });
}

/** The chat template that a GGUF file has for its tokenizer, undefined where it has none. */
export function ggufTemplate(tokenizer: Tokenizer): ChatTemplate | undefined {
  const source = tokenizer.config.chat_template;
  return typeof source === "string" ? createChatTemplate(source, tokenizer) : undefined;
}
