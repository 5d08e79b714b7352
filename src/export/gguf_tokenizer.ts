import { Exit, Fail } from "../base/fail.ts";
import { array, bool, type GgufValue, text, u32 } from "../formats/gguf_types.ts";
import { tokenByte } from "../text/bpe.ts";
import { type Pieces, pieceType } from "../text/spm_bpe.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import {
  isObject,
  type Json,
  mergeParts,
  normalizerSteps,
  prependsSpace,
  preTokenizerSteps,
  tokenContent,
} from "../text/tokenizer_json.ts";
import { findPretokenizer } from "./pretokenizer.ts";

export type Entry = readonly [key: string, value: GgufValue];

/** Tokens that llama.cpp's converter takes for control tokens by their looks. */
const looksSpecial = (token: string): boolean =>
  ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].includes(token) ||
  /^<(\||｜).*\1>$/s.test(token) || /^<unused.*>$/s.test(token);

type Model = "gpt2" | "llama" | "t5" | "bert";

/** The kind of vocabulary that llama.cpp knows this tokenizer as. */
function modelOf({ json, pieces }: Tokenizer): Model {
  const { type } = json.model;
  const decoder = isObject(json.decoder) ? json.decoder.type : undefined;
  const prefix = json.model.continuing_subword_prefix ?? "##";
  if (type === "Unigram") return "t5";
  if (type === "BPE" && decoder === "ByteLevel") return "gpt2";
  if (type === "BPE" && (pieces !== undefined || json.model.byte_fallback === true)) return "llama";
  if (type === "WordPiece" && prefix === "##") return "bert";
  throw new Fail("this tokenizer cannot be written to GGUF", {
    why: `it is ${type} with decoder ${decoder ?? "none"}; llama.cpp knows byte-level BPE, ` +
      "SentencePiece's BPE and unigram, and WordPiece with ##",
    fix: "export without --gguf",
    exit: Exit.data,
  });
}

interface TokenList {
  readonly tokens: string[];
  readonly types: number[];
}

function needRows(tokenizer: Tokenizer, vocabSize: number): void {
  if (tokenizer.vocabSize > vocabSize) {
    throw new Fail(
      `the tokenizer has ids up to ${tokenizer.vocabSize - 1}, the model ${vocabSize} rows`,
      {
        why: "tokenizer and model do not belong together",
        fix: "use the tokenizer files of this model",
        exit: Exit.data,
      },
    );
  }
}

/** Token texts and types for every row of the embedding. */
function tokenList(tokenizer: Tokenizer, vocabSize: number): TokenList {
  const added = new Map(tokenizer.json.added_tokens.map((token) => [token.id, token]));
  const tokens: string[] = [];
  const types: number[] = [];
  for (let id = 0; id < vocabSize; id++) {
    const stored = tokenizer.tokenText(id);
    const addition = added.get(id);
    if (stored === undefined) {
      tokens.push(`[PAD${id}]`);
      types.push(pieceType.unused);
    } else if (addition === undefined) {
      tokens.push(stored);
      types.push(pieceType.normal);
    } else {
      const content = addition.normalized
        ? stored
        : tokenizer.decode(tokenizer.encode(stored, { special: false }));
      const control = tokenizer.isSpecial(id) || looksSpecial(content);
      tokens.push(control ? content : content.replaceAll("\u2581", " "));
      types.push(control ? pieceType.control : pieceType.userDefined);
    }
  }
  return { tokens, types };
}

/** WordPiece as llama.cpp has it: "▁" before a word's first token, nothing before the others. */
function wordPieces({ tokens, types }: TokenList): TokenList {
  const spelled = tokens.map((token, id) =>
    types[id] !== pieceType.normal
      ? token
      : token.startsWith("##")
      ? token.slice(2)
      : `\u2581${token}`
  );
  return { tokens: spelled, types };
}

interface ScoredList extends TokenList {
  readonly scores: number[];
}

/** What is written for an id without a token, and for tokens that were added to a vocabulary. */
const scoreOf = { none: -10_000, added: -1000 };

/** A SentencePiece vocabulary as it is in tokenizer.model, with tokens that were added since. */
function pieceList(tokenizer: Tokenizer, pieces: Pieces, vocabSize: number): ScoredList {
  const list: ScoredList = { tokens: [], types: [], scores: [] };
  const put = (id: number, token: string, type: number, score: number) => {
    list.tokens[id] = token;
    list.types[id] = type;
    list.scores[id] = score;
  };
  for (let id = 0; id < vocabSize; id++) {
    const token = pieces.texts[id];
    if (token === undefined) put(id, `[PAD${id}]`, pieceType.unused, scoreOf.none);
    else {
      const type = pieces.types[id]!;
      put(id, token, type === pieceType.userDefined ? pieceType.normal : type, pieces.scores[id]!);
    }
  }
  const configured = tokenizer.config.added_tokens_decoder;
  const told = new Set(isObject(configured) ? Object.keys(configured).map(Number) : []);
  for (const { id, content } of tokenizer.json.added_tokens) {
    if (id < pieces.texts.length && !told.has(id)) continue;
    if (tokenizer.isSpecial(id) && told.has(id) || looksSpecial(content)) {
      put(id, content, pieceType.control, scoreOf.added);
    } else put(id, content.replaceAll("\u2581", " "), pieceType.userDefined, scoreOf.added);
  }
  return list;
}

/**
 * SentencePiece's BPE from tokenizer.json, which has merges and no scores: the earlier a merge, the
 * better the score of what it makes, which is the order that the scores had.
 */
function mergedList(tokenizer: Tokenizer, vocabSize: number): ScoredList {
  const { tokens, types } = tokenList(tokenizer, vocabSize);
  const { json, unk } = tokenizer;
  const best = new Map<string, number>();
  const merges = Array.isArray(json.model.merges) ? json.model.merges : [];
  for (const [rank, merge] of merges.entries()) {
    const whole = mergeParts(merge).join("");
    if (!best.has(whole)) best.set(whole, -rank);
  }
  const scores = tokens.map((token, id) => {
    if (types[id] === pieceType.unused) return scoreOf.none;
    if (tokenByte(token) !== undefined) types[id] = pieceType.byte;
    if (id === unk) types[id] = pieceType.unknown;
    if (types[id] === pieceType.normal) return best.get(token) ?? -merges.length - id;
    return 0;
  });
  return { tokens, types, scores };
}

/** A unigram vocabulary with its log-probabilities and its character map. */
function unigramEntries(tokenizer: Tokenizer, vocabSize: number): Entry[] {
  const { json } = tokenizer;
  const { tokens, types } = tokenList(tokenizer, vocabSize);
  const vocab = Array.isArray(json.model.vocab) ? json.model.vocab as unknown[] : [];
  const scores = tokens.map((_, id) => {
    const entry = vocab[id];
    return Array.isArray(entry) && typeof entry[1] === "number" ? entry[1] : scoreOf.none;
  });
  if (typeof json.model.unk_id === "number") types[json.model.unk_id] = pieceType.unknown;
  const steps = normalizerSteps(json.normalizer);
  const map = steps.find(({ type }) => type === "Precompiled")?.precompiled_charsmap;
  const pre = preTokenizerSteps(json.pre_tokenizer);
  // Two spaces become one by a pattern, or because words are cut at white space.
  const removed = pre.some(({ type }) => type === "WhitespaceSplit") ||
    steps.some(({ type, pattern }) =>
      type === "Replace" && isObject(pattern) && pattern.Regex === " {2,}"
    );
  return [
    [key("tokens"), array("string", tokens)],
    [key("scores"), array("f32", scores)],
    [key("token_type"), array("i32", types)],
    [key("add_space_prefix"), bool(prependsSpace(tokenizer))],
    [key("remove_extra_whitespaces"), bool(removed)],
    ...(typeof map === "string" && map !== ""
      ? [[key("precompiled_charsmap"), array("u8", [...Buffer.from(map, "base64")])] as const]
      : []),
  ];
}

/** Merges as one text each; a space inside a part is written in the byte-level alphabet. */
function mergeList(model: Json): string[] {
  const merges = Array.isArray(model.merges) ? model.merges : [];
  return merges.map((merge) =>
    mergeParts(merge).map((part) => part.replaceAll(" ", "Ġ")).join(" ")
  );
}

const key = (end: string) => `tokenizer.ggml.${end}`;

const idKeys: Readonly<Record<string, string>> = {
  bos: "bos",
  eos: "eos",
  unk: "unknown",
  sep: "seperator",
  pad: "padding",
  mask: "mask",
  eot: "eot",
};

interface Specials {
  /** Special token texts by kind. */
  readonly texts: Record<string, string | undefined>;
  /** Which of them the tokenizer adds by itself, in the order they were learnt. */
  readonly adds: Map<string, boolean>;
}

const specialOf = (part: unknown): string | undefined => {
  const special = isObject(part) ? part.SpecialToken : undefined;
  return isObject(special) && typeof special.id === "string" ? special.id : undefined;
};
const sequenceOf = (part: unknown): unknown => {
  const sequence = isObject(part) ? part.Sequence : undefined;
  return isObject(sequence) ? sequence.id : undefined;
};

/** What a TemplateProcessing step says about BOS, EOS and separator. */
function readTemplate({ texts, adds }: Specials, step: Json): void {
  const single = Array.isArray(step.single) ? step.single : [];
  const pair = Array.isArray(step.pair) ? step.pair : [];
  const first = single.length > 1 ? specialOf(single[0]) : undefined;
  const last = single.length > 1 ? specialOf(single.at(-1)) : undefined;
  if (first !== undefined) adds.set("bos", first === texts.bos || first === texts.cls);
  if (last !== undefined) {
    if (last !== texts.eos) {
      texts.eot = texts.eos;
      texts.eos = last;
    }
    adds.set("eos", true);
  }
  const inner = pair.slice(
    first !== undefined && specialOf(pair[0]) === first ? 1 : 0,
    last !== undefined && specialOf(pair.at(-1)) === last ? -1 : undefined,
  );
  const between = inner.slice(1, -1);
  if (sequenceOf(inner[0]) !== "A" || sequenceOf(inner.at(-1)) !== "B") return;
  if (between.length === 0) return;
  const separates = (part: unknown) => {
    const special = specialOf(part);
    return special !== undefined && (special === texts.sep || special === texts.eos);
  };
  const twice = between.length === 2 && separates(between[1]);
  adds.set("sep", twice || (separates(between[0]) && last === undefined));
}

function readSpecials({ json, config }: Tokenizer): Specials {
  const texts: Specials["texts"] = {};
  for (const kind of ["bos", "eos", "unk", "sep", "pad", "cls", "mask"]) {
    texts[kind] = tokenContent(config[`${kind}_token`]);
  }
  texts.bos ??= texts.cls;
  texts.eos ??= texts.sep;
  const specials: Specials = { texts, adds: new Map() };
  const processor = isObject(json.post_processor) ? json.post_processor : {};
  const steps = Array.isArray(processor.processors) ? processor.processors : [processor];
  for (const step of steps.filter(isObject)) {
    if (step.type === "TemplateProcessing") readTemplate(specials, step);
    if (step.type === "RobertaProcessing") {
      for (const kind of ["bos", "eos", "sep"]) specials.adds.set(kind, true);
    }
  }
  for (const kind of Object.keys(idKeys)) {
    const configured = config[`add_${kind}_token`];
    if (typeof configured === "boolean") specials.adds.set(kind, configured);
  }
  return specials;
}

/** Ids of special tokens: the tokenizer's own first, then single ids of config.json. */
function specialIds(tokenizer: Tokenizer, { texts }: Specials, modelConfig: Json, size: number) {
  const added = new Map(
    tokenizer.json.added_tokens.filter(({ listed }) => listed)
      .map(({ content, id }) => [content, id]),
  );
  const ids = new Map<string, number>();
  const set = (kind: string, id: unknown) => {
    if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < size && !ids.has(kind)) {
      ids.set(kind, id);
    }
  };
  const configured = (kinds: readonly string[]) => {
    for (const kind of kinds) set(kind, modelConfig[`${kind}_token_id`]);
  };
  const own = (kinds: readonly string[]) => {
    for (const kind of kinds) set(kind, added.get(texts[kind] ?? ""));
  };
  const kinds = Object.keys(idKeys);
  if (tokenizer.pieces === undefined) own(kinds);
  configured(kinds);
  // Beside a tokenizer.model config.json has the say; without these two no text begins or ends.
  own(["bos", "eos"]);
  return ids;
}

/** chat_template as one text, or as named texts of which "default" is the plain one. */
function templateEntries(template: unknown): Entry[] {
  if (typeof template === "string") return [["tokenizer.chat_template", text(template)]];
  if (!Array.isArray(template)) return [];
  const named = template.filter(isObject).flatMap(({ name, template }) =>
    typeof name === "string" && name !== "" && typeof template === "string"
      ? [[name.replace(/[^A-Za-z0-9]/g, "_"), template] as const]
      : []
  );
  const others = named.filter(([name]) => name !== "default");
  return [
    ...others.map(([name, source]): Entry => [`tokenizer.chat_template.${name}`, text(source)]),
    ...(others.length > 0
      ? [["tokenizer.chat_templates", array("string", others.map(([name]) => name))] as const]
      : []),
    ...named.filter(([name]) => name === "default").map((
      [, source],
    ): Entry => ["tokenizer.chat_template", text(source)]),
  ];
}

export interface TokenizerMetadata {
  readonly entries: readonly Entry[];
  readonly warnings: readonly string[];
}

/**
 * GGUF metadata of a tokenizer, keys and order as llama.cpp's converter writes them: byte-level BPE,
 * SentencePiece's BPE and unigram, WordPiece.
 *
 * @param options.vocabSize rows of the embedding; ids without a token become unused "[PAD…]" tokens
 * @param options.chatTemplate where it is not in tokenizer_config.json
 * @param options.pretokenizer overrides the name that is found by itself
 * @throws Fail for other kinds of tokenizers, more ids than rows, or an unknown pre-tokenizer
 */
export function tokenizerMetadata(
  tokenizer: Tokenizer,
  options: {
    readonly vocabSize: number;
    readonly modelConfig?: Json;
    readonly chatTemplate?: string;
    readonly pretokenizer?: string;
  },
): TokenizerMetadata {
  const { vocabSize, modelConfig = {} } = options;
  needRows(tokenizer, vocabSize);
  const model = modelOf(tokenizer);
  const { name, warning } = model === "gpt2" || model === "bert"
    ? findPretokenizer(tokenizer, options.pretokenizer)
    : { name: "default" };
  const specials = readSpecials(tokenizer);
  const ids = specialIds(tokenizer, specials, modelConfig, vocabSize);
  return {
    entries: [
      [key("model"), text(model)],
      [key("pre"), text(name)],
      ...vocabularyEntries(tokenizer, model, vocabSize),
      ...[...ids].map(([kind, id]): Entry => [key(`${idKeys[kind]}_token_id`), u32(id)]),
      ...[...specials.adds].map(([kind, adds]): Entry => [key(`add_${kind}_token`), bool(adds)]),
      ...templateEntries(tokenizer.config.chat_template ?? options.chatTemplate),
      ...(model === "bert" ? bertNormalizer(tokenizer) : []),
      ...(model === "llama" && !prependsSpace(tokenizer)
        ? [[key("add_space_prefix"), bool(false)] as const]
        : []),
    ],
    warnings: warning === undefined ? [] : [warning],
  };
}

function vocabularyEntries(tokenizer: Tokenizer, model: Model, vocabSize: number): Entry[] {
  const lists = ({ tokens, types }: TokenList, scores?: readonly number[]): Entry[] => [
    [key("tokens"), array("string", tokens)],
    ...(scores === undefined ? [] : [[key("scores"), array("f32", scores)] as const]),
    [key("token_type"), array("i32", types)],
  ];
  if (model === "t5") return unigramEntries(tokenizer, vocabSize);
  if (model === "llama") {
    const list = tokenizer.pieces === undefined
      ? mergedList(tokenizer, vocabSize)
      : pieceList(tokenizer, tokenizer.pieces, vocabSize);
    return lists(list, list.scores);
  }
  const plain = tokenList(tokenizer, vocabSize);
  if (model === "bert") return lists(wordPieces(plain));
  return [
    ...lists(plain),
    [key("merges"), array("string", mergeList(tokenizer.json.model))],
  ];
}

/** How text is made plain before WordPiece, where BertNormalizer says so. */
function bertNormalizer({ json }: Tokenizer): Entry[] {
  const step = normalizerSteps(json.normalizer).find(({ type }) => type === "BertNormalizer") ?? {};
  return ["lowercase", "strip_accents"].flatMap((name): Entry[] => {
    const value = step[name];
    return typeof value === "boolean" ? [[`tokenizer.ggml.normalizer.${name}`, bool(value)]] : [];
  });
}
