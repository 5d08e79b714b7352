import { Exit, Fail } from "../base/fail.ts";
import { type Pieces, pieceType } from "./spm_bpe.ts";
import type { Json } from "./tokenizer_json.ts";

/** What a SentencePiece model says (sentencepiece_model.proto). */
export interface SentencePieceModel {
  readonly kind: "bpe" | "unigram";
  readonly pieces: Pieces;
  /** Ids of special pieces; undefined where the vocabulary has none. */
  readonly unk: number;
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly pad: number | undefined;
  readonly byteFallback: boolean;
  /** A space before every text. */
  readonly dummyPrefix: boolean;
  /** Spaces around a text and all but one of a run are left out. */
  readonly removeSpaces: boolean;
  /** The compiled character map in base64, empty where there is none. */
  readonly charsMap: string;
}

const limits = { pieces: 2_000_000, pieceBytes: 65_536 };

const bad = (what: string, why: string): Fail =>
  new Fail(`tokenizer.model: ${what}`, {
    why,
    fix: "download the model's tokenizer files again",
    exit: Exit.data,
  });

interface Field {
  readonly number: number;
  /** A varint or fixed number; 0 for bytes. */
  readonly value: number;
  readonly bytes: Uint8Array | undefined;
}

/** The fields of a protobuf message, in order. */
function* fieldsOf(message: Uint8Array): Generator<Field> {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 10; shift++) {
      const byte = message[at++];
      if (byte === undefined) throw bad("it is cut off", `at byte ${at} of a message`);
      value += (byte & 0x7f) * 2 ** (7 * shift);
      if (byte < 0x80) return value;
    }
    throw bad("it is not a SentencePiece model", "a number has more than 10 bytes");
  };
  const take = (length: number): number => {
    if (length > message.length - at) {
      throw bad("it is cut off", `a field of ${length} bytes, ${message.length - at} are left`);
    }
    at += length;
    return at - length;
  };
  while (at < message.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    if (key % 8 === 0) yield { number, value: varint(), bytes: undefined };
    else if (key % 8 === 5) {
      yield { number, value: view.getFloat32(take(4), true), bytes: undefined };
    } else if (key % 8 === 1) {
      yield { number, value: view.getFloat64(take(8), true), bytes: undefined };
    } else if (key % 8 === 2) {
      const length = varint();
      const start = take(length);
      yield { number, value: 0, bytes: message.subarray(start, at) };
    } else throw bad("it is not a SentencePiece model", `a field has wire type ${key % 8}`);
  }
}

/** Signed 32 bits, as protobuf writes them. */
const int32 = (value: number): number => Number(BigInt.asIntN(32, BigInt(value)));

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
function textOf(bytes: Uint8Array | undefined, id: number): string {
  if (bytes === undefined || bytes.length > limits.pieceBytes) {
    throw bad(`piece ${id} is no text`, "at most 64 KiB of UTF-8 are read");
  }
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw bad(`piece ${id} is not UTF-8`, String(cause));
  }
}

/**
 * Reads tokenizer.model.
 *
 * @throws Fail when it is cut off, no SentencePiece model, has a piece twice, or cuts text in a way
 *   other than BPE and unigram
 */
export function readSentencePiece(file: Uint8Array): SentencePieceModel {
  const texts: string[] = [];
  const scores: number[] = [];
  const types: number[] = [];
  const trainer = new Map<number, number>();
  const normalizer = new Map<number, number>();
  let charsMap: Uint8Array = new Uint8Array();
  for (const { number, bytes } of fieldsOf(file)) {
    if (bytes === undefined) continue;
    if (number === 1) {
      const id = texts.length;
      if (id >= limits.pieces) throw bad("too many pieces", `at most ${limits.pieces} are read`);
      let text = "";
      let score = 0;
      let type: number = pieceType.normal;
      for (const field of fieldsOf(bytes)) {
        if (field.number === 1) text = textOf(field.bytes, id);
        else if (field.number === 2) score = field.value;
        else if (field.number === 3) type = field.value;
      }
      if (!Number.isFinite(score)) {
        throw bad(`piece ${id} has score ${score}`, "a number is needed");
      }
      if (type < 1 || type > 6) throw bad(`piece ${id} has type ${type}`, "1 to 6 are known");
      texts.push(text);
      scores.push(score);
      types.push(type);
    } else if (number === 2) {
      for (const field of fieldsOf(bytes)) trainer.set(field.number, field.value);
    } else if (number === 3) {
      for (const field of fieldsOf(bytes)) {
        if (field.number === 2 && field.bytes !== undefined) charsMap = field.bytes;
        else normalizer.set(field.number, field.value);
      }
    }
  }
  if (texts.length === 0) throw bad("it is not a SentencePiece model", "it has no pieces");
  const seen = new Set(texts);
  if (seen.size < texts.length) {
    const double = texts.findIndex((text, id) => texts.indexOf(text) !== id);
    throw bad(`piece ${double} is there twice`, JSON.stringify(texts[double]!.slice(0, 80)));
  }
  const kind = trainer.get(3) ?? 1;
  if (kind !== 1 && kind !== 2) {
    throw bad(`its model type is ${kind}`, "1 (unigram) and 2 (BPE) are known");
  }
  const unk = types.indexOf(pieceType.unknown);
  if (unk < 0) throw bad("it has no unknown piece", "every SentencePiece model has one");
  const special = (field: number, fallback: number): number | undefined => {
    const id = int32(trainer.get(field) ?? fallback);
    return id >= 0 && id < texts.length && types[id] === pieceType.control ? id : undefined;
  };
  return {
    kind: kind === 2 ? "bpe" : "unigram",
    pieces: { texts, scores: Float32Array.from(scores), types: Int32Array.from(types) },
    unk,
    bos: special(41, 1),
    eos: special(42, 2),
    pad: special(43, -1),
    byteFallback: types.includes(pieceType.byte),
    dummyPrefix: (normalizer.get(3) ?? 1) !== 0,
    removeSpaces: (normalizer.get(4) ?? 1) !== 0,
    charsMap: Buffer.from(charsMap).toString("base64"),
  };
}

/** Classes of transformers whose ids are those of the SentencePiece model. */
const plainClasses = /^(?:(?:Code)?Llama|Gemma|T5|Albert|PreTrained)Tokenizer(?:Fast)?$/;

/** What decides about a SentencePiece vocabulary besides its pieces. */
export type SentencePieceRules = Omit<SentencePieceModel, "pad"> & {
  readonly addBos: boolean;
  readonly addEos: boolean;
  /** The space before a text only at its beginning, and not after every special token. */
  readonly prefixOnce: boolean;
};

/**
 * Which tokens a SentencePiece tokenizer adds by itself, by tokenizer_config.json.
 *
 * @throws Fail for classes of transformers that number pieces otherwise
 */
export function sentencePieceRules(model: SentencePieceModel, config: Json): SentencePieceRules {
  const name = typeof config.tokenizer_class === "string" ? config.tokenizer_class : "";
  if (name !== "" && !plainClasses.test(name)) {
    throw bad(`${name} numbers its pieces in a way of its own`, "tokenizer.json is needed for it");
  }
  const flag = (key: string, fallback: boolean) =>
    typeof config[key] === "boolean" ? config[key] : fallback;
  const t5 = name.startsWith("T5");
  return {
    ...model,
    dummyPrefix: flag("add_prefix_space", model.dummyPrefix),
    addBos: flag("add_bos_token", !t5),
    addEos: flag("add_eos_token", t5),
    prefixOnce: config.legacy === false,
  };
}

const mark = "\u2581";

/** The tokenizer.json that says what a SentencePiece vocabulary means. */
export function sentencePieceJson(rules: SentencePieceRules): Json {
  const { pieces: { texts, scores, types }, unk } = rules;
  const special = [...texts.keys()].filter((id) => types[id] === pieceType.control || id === unk);
  const replace = (Regex: string, content: string) => ({
    type: "Replace",
    pattern: { Regex },
    content,
  });
  const spaces = { type: "Replace", pattern: { String: " " }, content: mark };
  const once = rules.dummyPrefix && rules.prefixOnce;
  const normalizers: Json[] = [
    ...(rules.charsMap === ""
      ? []
      : [{ type: "Precompiled", precompiled_charsmap: rules.charsMap }]),
    ...(rules.removeSpaces
      ? [{ type: "Strip", strip_left: true, strip_right: true }, replace(" {2,}", " ")]
      : []),
    ...(once ? [] : [
      ...(rules.dummyPrefix ? [{ type: "Prepend", prepend: mark }] : []),
      spaces,
    ]),
  ];
  const around = (wanted: boolean, id: number | undefined) =>
    wanted && id !== undefined ? [{ SpecialToken: { id: texts[id]!, type_id: 0 } }] : [];
  return {
    added_tokens: special.map((id) => ({ id, content: texts[id]!, special: true })),
    normalizer: { type: "Sequence", normalizers },
    pre_tokenizer: once ? { type: "Metaspace", prepend_scheme: "first", split: false } : null,
    post_processor: {
      type: "TemplateProcessing",
      single: [
        ...around(rules.addBos, rules.bos),
        { Sequence: { id: "A", type_id: 0 } },
        ...around(rules.addEos, rules.eos),
      ],
      pair: [],
      special_tokens: Object.fromEntries(
        [rules.bos, rules.eos].filter((id) => id !== undefined)
          .map((id) => [texts[id]!, { id: texts[id]!, ids: [id], tokens: [texts[id]!] }]),
      ),
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: mark }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(rules.dummyPrefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
    model: rules.kind === "unigram"
      ? {
        type: "Unigram",
        vocab: texts.map((text, id) => [text, scores[id]!]),
        unk_id: unk,
        byte_fallback: rules.byteFallback,
      }
      : {
        type: "BPE",
        vocab: Object.fromEntries(
          [...texts.entries()].filter(([id]) => types[id] !== pieceType.unused)
            .map(([id, text]) => [text, id]),
        ),
        unk_token: texts[unk]!,
        byte_fallback: rules.byteFallback,
      },
  };
}
