import { Exit, Fail } from "../base/fail.ts";
import { array, bool, type GgufValue, text, u32 } from "../formats/gguf_types.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { isObject, type Json, mergeParts, tokenContent } from "../text/tokenizer_json.ts";
import { findPretokenizer } from "./pretokenizer.ts";

export type Entry = readonly [key: string, value: GgufValue];

/** Kinds of tokens in a GGUF vocabulary. */
export const tokenType = { normal: 1, control: 3, userDefined: 4, unused: 5 };

/** Tokens that llama.cpp's converter takes for control tokens by their looks. */
const looksSpecial = (token: string): boolean =>
  ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].includes(token) ||
  /^<(\||｜).*\1>$/s.test(token) || /^<unused.*>$/s.test(token);

function needByteLevel({ json }: Tokenizer): void {
  const decoder = isObject(json.decoder) ? json.decoder.type : undefined;
  if (json.model.type === "BPE" && decoder === "ByteLevel") return;
  throw new Fail("this tokenizer cannot be written to GGUF yet", {
    why: `it is ${json.model.type} with decoder ${decoder ?? "none"}, expected a byte-level BPE`,
    fix: "export the merged model with --merge and convert it with llama.cpp",
    exit: Exit.data,
  });
}

/** Token texts and types for every row of the embedding. */
function tokenList(tokenizer: Tokenizer, vocabSize: number): { tokens: string[]; types: number[] } {
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
  const added = new Map(tokenizer.json.added_tokens.map((token) => [token.id, token]));
  const tokens: string[] = [];
  const types: number[] = [];
  for (let id = 0; id < vocabSize; id++) {
    const stored = tokenizer.tokenText(id);
    const addition = added.get(id);
    if (stored === undefined) {
      tokens.push(`[PAD${id}]`);
      types.push(tokenType.unused);
    } else if (addition === undefined) {
      tokens.push(stored);
      types.push(tokenType.normal);
    } else {
      const content = addition.normalized
        ? stored
        : tokenizer.decode(tokenizer.encode(stored, { special: false }));
      const control = tokenizer.isSpecial(id) || looksSpecial(content);
      tokens.push(control ? content : content.replaceAll("\u2581", " "));
      types.push(control ? tokenType.control : tokenType.userDefined);
    }
  }
  return { tokens, types };
}

/** Merges as one text each; a space inside a part is written in the byte-level alphabet. */
function mergeList(model: Json): string[] {
  const merges = Array.isArray(model.merges) ? model.merges : [];
  return merges.map((merge) =>
    mergeParts(merge).map((part) => part.replaceAll(" ", "Ġ")).join(" ")
  );
}

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
  const added = new Map(tokenizer.json.added_tokens.map(({ content, id }) => [content, id]));
  const ids = new Map<string, number>();
  const set = (kind: string, id: unknown) => {
    if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < size && !ids.has(kind)) {
      ids.set(kind, id);
    }
  };
  for (const kind of Object.keys(idKeys)) set(kind, added.get(texts[kind] ?? ""));
  for (const kind of Object.keys(idKeys)) set(kind, modelConfig[`${kind}_token_id`]);
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
 * GGUF metadata of a byte-level BPE tokenizer, keys and order as llama.cpp's converter writes them.
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
  needByteLevel(tokenizer);
  const { name, warning } = findPretokenizer(tokenizer, options.pretokenizer);
  const { tokens, types } = tokenList(tokenizer, options.vocabSize);
  const specials = readSpecials(tokenizer);
  const ids = specialIds(tokenizer, specials, options.modelConfig ?? {}, options.vocabSize);
  const key = (end: string) => `tokenizer.ggml.${end}`;
  return {
    entries: [
      [key("model"), text("gpt2")],
      [key("pre"), text(name)],
      [key("tokens"), array("string", tokens)],
      [key("token_type"), array("i32", types)],
      [key("merges"), array("string", mergeList(tokenizer.json.model))],
      ...[...ids].map(([kind, id]): Entry => [key(`${idKeys[kind]}_token_id`), u32(id)]),
      ...[...specials.adds].map(([kind, adds]): Entry => [key(`add_${kind}_token`), bool(adds)]),
      ...templateEntries(tokenizer.config.chat_template ?? options.chatTemplate),
    ],
    warnings: warning === undefined ? [] : [warning],
  };
}
