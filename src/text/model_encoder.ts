import { Exit, Fail } from "../base/fail.ts";
import { createBpe, type PieceEncoder } from "./bpe.ts";
import { createSpmBpe, type Pieces } from "./spm_bpe.ts";
import { badJson, isObject, type Json, mergeParts, tokenContent } from "./tokenizer_json.ts";
import { createUnigram } from "./unigram.ts";
import { createWordLevel, createWordPiece } from "./wordpiece.ts";

const texts = (value: unknown, fallback: string): string =>
  typeof value === "string" ? value : fallback;

/** [text, score] pairs of a Unigram model. */
function unigramOf(model: Json, special: ReadonlySet<string>): PieceEncoder {
  const entries = Array.isArray(model.vocab) ? model.vocab as unknown[] : [];
  const tokens: string[] = [];
  const scores = new Float64Array(entries.length);
  for (const [id, entry] of entries.entries()) {
    const [text, score] = Array.isArray(entry) ? entry as unknown[] : [];
    if (typeof text !== "string" || typeof score !== "number" || !Number.isFinite(score)) {
      throw badJson(`vocabulary entry ${id} is not [text, score]`, "the file is damaged");
    }
    tokens.push(text);
    scores[id] = score;
  }
  const unk = model.unk_id ?? undefined;
  if (
    unk !== undefined && !(Number.isInteger(unk) && Number(unk) >= 0 && Number(unk) < tokens.length)
  ) {
    throw badJson(`the unknown token has id ${String(unk)}`, `there are ${tokens.length} tokens`);
  }
  return createUnigram({
    tokens: tokens.map((token) => special.has(token) ? undefined : token),
    scores,
    unk: unk as number | undefined,
    byteFallback: model.byte_fallback === true,
  });
}

/**
 * The part of a tokenizer that turns pieces of text into ids, from `model` of tokenizer.json.
 *
 * @param special texts that no piece is turned into: they are found before the text is cut, or are
 *   meant to stay text
 * @param pieces scores and kinds, for SentencePiece's BPE, which joins by score and not by merges
 * @throws Fail for a kind of model that is not known, or parts that do not fit together
 */
export function createEncoder(
  model: Json & { readonly type: string },
  vocab: ReadonlyMap<string, number>,
  special: ReadonlySet<string>,
  pieces: Pieces | undefined,
): PieceEncoder {
  const name = tokenContent(model.unk_token);
  const unk = name === undefined ? undefined : vocab.get(name);
  if (name !== undefined && unk === undefined && model.type !== "Unigram") {
    throw badJson(
      `the unknown token ${JSON.stringify(name)} is not in the vocabulary`,
      "it has no id",
    );
  }
  const whole = () => new Map([...vocab].filter(([token]) => !special.has(token)));
  switch (model.type) {
    case "BPE": {
      if (pieces !== undefined) return createSpmBpe(pieces, unk);
      if (!Array.isArray(model.merges)) {
        throw badJson("there are no merges", "model.merges is missing");
      }
      return createBpe({
        vocab,
        merges: model.merges.map(mergeParts),
        unk,
        fuseUnk: model.fuse_unk === true,
        byteFallback: model.byte_fallback === true,
        wholePieces: model.ignore_merges === true ? whole() : undefined,
        continuingPrefix: texts(model.continuing_subword_prefix, ""),
        endSuffix: texts(model.end_of_word_suffix, ""),
      });
    }
    case "Unigram":
      return unigramOf(model, special);
    case "WordPiece":
      return createWordPiece({
        vocab: whole(),
        unk,
        continuingPrefix: texts(model.continuing_subword_prefix, "##"),
        maxCharacters: Number(model.max_input_chars_per_word ?? 100),
      });
    case "WordLevel":
      return createWordLevel(whole(), unk);
    default:
      throw new Fail("tokenizer.json uses something whet does not know", {
        why: `model ${isObject(model) ? model.type : "missing"}`,
        exit: Exit.data,
      });
  }
}
