import { Exit, Fail } from "../base/fail.ts";
import {
  booleanAt,
  integerAt,
  type Metadata,
  numbersAt,
  stringAt,
  stringsAt,
} from "../formats/gguf_types.ts";
import { createTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import type { Json } from "../text/tokenizer_json.ts";
import { tokenType } from "./gguf_tokenizer.ts";
import { pretokenizerSteps } from "./pretokenizer.ts";

const broken = (what: string): Fail =>
  new Fail(what, { fix: "convert the model to GGUF again", exit: Exit.data });

const key = (end: string) => `tokenizer.ggml.${end}`;
const kinds = ["bos", "eos", "unknown", "padding", "seperator", "mask"] as const;
const configNames = {
  bos: "bos_token",
  eos: "eos_token",
  unknown: "unk_token",
  padding: "pad_token",
  seperator: "sep_token",
  mask: "mask_token",
};

/** Steps around a text, for the special tokens that the file says are added. */
function postProcessor(
  metadata: Metadata,
  textOf: (kind: "bos" | "eos") => string | undefined,
  pre: string,
) {
  const wanted = {
    bos: booleanAt(metadata, key("add_bos_token")) ?? pre === "llama-bpe",
    eos: booleanAt(metadata, key("add_eos_token")) ?? false,
  };
  const tokens = new Map<string, number>();
  const step = (kind: "bos" | "eos") => {
    const id = integerAt(metadata, key(`${kind}_token_id`));
    const content = textOf(kind);
    if (!wanted[kind] || id === undefined || content === undefined) return [];
    tokens.set(content, id);
    return [{ SpecialToken: { id: content, type_id: 0 } }];
  };
  const single = [...step("bos"), { Sequence: { id: "A", type_id: 0 } }, ...step("eos")];
  return {
    type: "TemplateProcessing",
    single,
    pair: [],
    special_tokens: Object.fromEntries(
      [...tokens].map(([id, number]) => [id, { id, ids: [number], tokens: [id] }]),
    ),
  };
}

/**
 * The tokenizer inside a GGUF file, for byte-level BPE vocabularies.
 *
 * @throws Fail for other kinds, an unknown pre-tokenizer, or lists that do not fit together
 */
export function tokenizerFromGguf(metadata: Metadata): Tokenizer {
  const model = stringAt(metadata, key("model"));
  if (model !== "gpt2") {
    throw new Fail(`the GGUF tokenizer is ${model ?? "missing"}, expected gpt2 (byte-level BPE)`, {
      why: "whet reads no other kind from GGUF yet",
      fix: "use the model's Hugging Face folder",
      exit: Exit.data,
    });
  }
  const tokens = stringsAt(metadata, key("tokens"));
  const merges = stringsAt(metadata, key("merges"));
  if (tokens === undefined || merges === undefined) {
    throw broken("the GGUF vocabulary is incomplete");
  }
  const types = numbersAt(metadata, key("token_type")) ?? tokens.map(() => tokenType.normal);
  if (types.length !== tokens.length) {
    throw broken(`${types.length} token types for ${tokens.length} tokens`);
  }
  const pre = stringAt(metadata, key("pre")) ?? "default";

  const vocab: Record<string, number> = Object.create(null);
  const added_tokens: Json[] = [];
  for (const [id, content] of tokens.entries()) {
    if (types[id] === tokenType.normal) vocab[content] = id;
    else if (types[id] === tokenType.control || types[id] === tokenType.userDefined) {
      added_tokens.push({ id, content, special: types[id] === tokenType.control });
    }
  }
  const textOf = (kind: (typeof kinds)[number]): string | undefined => {
    const id = integerAt(metadata, key(`${kind}_token_id`), { max: tokens.length - 1 });
    return id === undefined ? undefined : tokens[id];
  };
  const { pre_tokenizer, ignore_merges } = pretokenizerSteps(pre);
  const config: Record<string, unknown> = {
    chat_template: stringAt(metadata, "tokenizer.chat_template"),
  };
  for (const kind of kinds) config[configNames[kind]] = textOf(kind);
  return createTokenizer({
    json: {
      added_tokens,
      pre_tokenizer,
      post_processor: postProcessor(metadata, textOf, pre),
      decoder: { type: "ByteLevel" },
      model: { type: "BPE", vocab, merges, ignore_merges },
    },
    config,
    modelConfig: { vocab_size: tokens.length },
  });
}
