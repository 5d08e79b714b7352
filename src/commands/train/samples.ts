import { answerMetrics } from "../../evaluate/metrics.ts";
import { Generator } from "../../generate/generator.ts";
import type { Sample } from "../../report/record.ts";
import { encodePrompt } from "../../text/prompt.ts";
import type { Measures } from "../../trainer/loop.ts";
import type { Trainer } from "../../trainer/trainer.ts";
import type { PreparedRun } from "./prepared.ts";
import { questionOf } from "../use/questions.ts";

interface Encoded {
  readonly ids: number[];
  readonly prompt: string;
  readonly expected: string;
}

/** Measures of whole answers, for a run that is judged by them; none without answers. */
export function measuresOf(samples: readonly Sample[]): Measures {
  if (samples.length === 0) return {};
  const { exact_match, json_valid } = answerMetrics(
    samples.map(({ output, expected }) => ({ predicted: output, expected: expected! })),
  );
  return { exact_match, json_valid };
}

/** Longest sample, tokens. */
const MOST = 256;

/**
 * Answers of the model in training to the first validation rows, greedy, so that they can be compared; none
 * where there are no such rows.
 */
export class Sampler {
  readonly #questions: readonly Encoded[];

  constructor(private readonly run: PreparedRun, count: number) {
    const { validation, tokenizer, template } = run;
    this.#questions = (validation?.examples ?? []).slice(0, count).flatMap((example) => {
      const asked = questionOf(example);
      if (!asked) return [];
      const ids = encodePrompt(tokenizer, asked.prompt, { template });
      return [{ ids, prompt: asked.shown, expected: asked.expected }];
    });
  }

  async *answers(trainer: Trainer): AsyncGenerator<Sample> {
    if (this.#questions.length === 0) return;
    const { prepared, tokenizer } = this.run;
    const longest = Math.max(...this.#questions.map(({ ids }) => ids.length));
    const generator = await Generator.create(prepared.model, trainer.memory, {
      slots: Math.min(8, this.#questions.length),
      context: Math.ceil((longest + MOST) / 64) * 64,
      prefill: Math.min(128, Math.ceil(longest / 16) * 16),
    }, { lora: prepared.lora, full: prepared.settings.full });
    const { context } = prepared.model.sizes;
    const requests = this.#questions.map(({ ids }) => ({
      ids,
      maxTokens: Math.max(1, Math.min(MOST, context - ids.length)),
    }));
    const greedy = { temperature: 0, topP: 1, seed: 0 };
    let i = 0;
    for await (const { ids } of generator.answers(requests, new Set(tokenizer.eosIds), greedy)) {
      const { prompt, expected } = this.#questions[i++]!;
      yield { prompt, output: tokenizer.decode(ids, { skipSpecial: true }), expected };
    }
    generator.free();
  }
}
