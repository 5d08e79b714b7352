import { createFinder, type Range } from "./added_tokens.ts";
import { createEncoder } from "./model_encoder.ts";
import { createNormalizer } from "./normalizers.ts";
import { createPreTokenizer, type Split } from "./pre_tokenizers.ts";
import { marksWords, type Pieces, wordsAreApart } from "./spm_bpe.ts";
import type { TokenizerJson } from "./tokenizer_json.ts";

/** Pieces whose ids are remembered, and how long they may be. */
const memory = { pieces: 65_536, length: 64 };

const everything: readonly Range[] = [[0, Infinity]];

export interface TextEncoding {
  encode(text: string, plain?: boolean | readonly Range[]): number[];
  /** What normalised added tokens are read as, by id: their text as it was looked for. */
  readonly added: ReadonlyMap<number, string>;
}

/**
 * The way from text to ids: added tokens are taken out, the rest is normalised, cut into pieces, and
 * each piece given to the model.
 *
 * `encode` throws a Fail where it would lose text.
 * @throws Fail for parts of tokenizer.json that are not known or do not fit together
 */
export function createTextEncoder(
  json: TokenizerJson,
  vocab: ReadonlyMap<string, number>,
  pieces: Pieces | undefined,
): TextEncoding {
  const normalize = createNormalizer(json.normalizer);
  const { split, spell } = createPreTokenizer(json.pre_tokenizer);
  const special = new Set(
    json.added_tokens.filter((token) => token.special).map(({ content }) => content),
  );
  const encode = createEncoder(json.model, vocab, special, pieces);
  const raw = createFinder(json.added_tokens.filter((t) => !t.normalized), (t) => t.content);
  const normalized = json.added_tokens.filter((token) => token.normalized);
  const added = new Map(normalized.map(({ id, content }) => [id, normalize(content)]));
  const later = createFinder(normalized, ({ id }) => added.get(id)!);
  // Where no token goes on over the beginning of a word, words can be looked up one by one.
  const { type, continuing_subword_prefix, end_of_word_suffix } = json.model;
  const apart = (type === "BPE" || type === "Unigram") && spell === undefined &&
    !continuing_subword_prefix && !end_of_word_suffix && vocab.has("\u2581") &&
    wordsAreApart(vocab.keys());
  const cut: Split = apart ? (text, first) => split(text, first).flatMap(marksWords) : split;

  const known = new Map<string, readonly number[]>();
  const encodePiece = (piece: string, out: number[]) => {
    const remembered = known.get(piece);
    if (remembered !== undefined) {
      for (const id of remembered) out.push(id);
      return;
    }
    const from = out.length;
    encode(spell === undefined ? piece : spell(piece), out);
    if (piece.length > memory.length) return;
    if (known.size >= memory.pieces) known.clear();
    known.set(piece, out.slice(from));
  };

  const encodeText: TextEncoding["encode"] = (given, plain = false) => {
    const text = given.toWellFormed();
    const out: number[] = [];
    const ranges = plain === true ? everything : plain || [];
    for (const stretch of raw(text, ranges)) {
      if (stretch.id !== undefined) {
        out.push(stretch.id);
        continue;
      }
      const end = stretch.start + stretch.text.length;
      const touched = ranges.some(([from, to]) => stretch.start < to && end > from);
      for (const part of later(normalize(stretch.text), touched ? everything : [])) {
        if (part.id !== undefined) out.push(part.id);
        else {
          const first = stretch.start === 0 && part.start === 0;
          for (const piece of cut(part.text, first)) encodePiece(piece, out);
        }
      }
    }
    return out;
  };
  return { encode: encodeText, added };
}
