import { streamOf, word } from "../../base/random.ts";
import type { Given } from "../../evaluate/agreement.ts";
import { Generator } from "../../generate/generator.ts";
import type { Loaded } from "./loaded.ts";
import type { Texts } from "./texts.ts";

/** Answers computed side by side, and prompt tokens computed in one run. */
const SLOTS = 16;
const PREFILL = 256;

export interface Drawing {
  /** Answers to each prompt. */
  readonly each: number;
  readonly temp: number;
  readonly top_p: number;
  readonly max_tokens: number;
  readonly seed: number;
}

/** A model that answers prompts, batch after batch; what a batch brings depends on its number alone. */
export class Answerer {
  private constructor(
    readonly generator: Generator,
    readonly texts: Texts,
    readonly context: number,
    readonly drawing: Drawing,
  ) {}

  /** @param longest tokens of the longest prompt */
  static async create(
    { model, memory, adapted }: Loaded,
    texts: Texts,
    longest: number,
    drawing: Drawing,
  ): Promise<Answerer> {
    const { context } = model.sizes;
    const generator = await Generator.create(model, memory, {
      slots: SLOTS,
      context: Math.ceil(Math.min(context, longest + drawing.max_tokens + 1) / 64) * 64,
      prefill: Math.min(PREFILL, Math.ceil((longest * SLOTS) / 64) * 64),
    }, adapted);
    return new Answerer(generator, texts, context, drawing);
  }

  /** All answers to each of the prompts, given as ids. */
  async answers(prompts: readonly (readonly number[])[], batch: number): Promise<Given[][]> {
    const { each, temp, top_p, max_tokens, seed } = this.drawing;
    const { tokenizer } = this.texts;
    const requests = prompts.flatMap((ids) =>
      Array.from({ length: each }, () => ({
        ids,
        maxTokens: Math.min(max_tokens, this.context - ids.length),
      }))
    );
    const sampling = {
      temperature: temp,
      topP: top_p,
      seed: word(seed, streamOf("answers"), batch),
    };
    const given: Given[] = [];
    const stop = new Set(tokenizer.eosIds);
    for await (const { ids, finish } of this.generator.answers(requests, stop, sampling)) {
      const text = tokenizer.decode(ids, { skipSpecial: true });
      given.push({ text, cut: finish === "length" });
    }
    return prompts.map((_, i) => given.slice(i * each, (i + 1) * each));
  }

  free(): void {
    this.generator.free();
  }
}
