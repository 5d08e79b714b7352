import { uniform } from "../../base/random.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { Generator } from "../../generate/generator.ts";
import type { BenchSettings } from "../../settings/bench.ts";
import { generatorSize } from "../use/infer.ts";
import type { Io } from "../io.ts";
import type { Loaded, Opened } from "../use/loaded.ts";
import { quantile } from "./statistics.ts";
import { hostPeak, quantName } from "./training.ts";

export interface GenerationResult {
  readonly model: string;
  readonly adapter?: string;
  readonly quant: string;
  readonly prompt_tokens: number;
  readonly answer_tokens: number;
  readonly requests: number;
  /** Tokens a second of all requests together. */
  readonly prefill_tokens_s: number;
  readonly decode_tokens_s: number;
  /** From the start of a request to its first token, at the median request. */
  readonly first_token_s: number;
  /** Between two tokens of one answer. */
  readonly token_p50_s: number;
  readonly token_p95_s: number;
  readonly allocated_bytes: number;
  readonly host_peak_bytes: number;
}

/** How long prompts and answers are. @throws Fail (usage) where the model cannot hold both */
export function lengths(opened: Opened, s: BenchSettings, software: boolean) {
  const { context } = opened.model.sizes;
  const answer = s.max_tokens ?? Math.min(software ? 32 : 128, Math.floor(context / 4));
  const prompt = s.prompt ?? Math.min(software ? 64 : 512, Math.floor(context / 2));
  if (prompt + answer > context) {
    throw new Fail(`${prompt} tokens of prompt and ${answer} of answer do not fit the model`, {
      why: `its context is ${context} tokens`,
      fix: "lower --prompt or --max-tokens",
      exit: Exit.usage,
    });
  }
  return { prompt, answer };
}

/** Answers random prompts, once to compile and once to measure. @throws Fail as generation does */
export async function measureGeneration(
  { model, memory, adapted, device }: Loaded,
  s: BenchSettings,
  { prompt, answer }: { prompt: number; answer: number },
  io: Io,
): Promise<GenerationResult> {
  const { vocab } = model.sizes, { requests } = s;
  const size = generatorSize(requests, prompt, answer);
  const generator = await Generator.create(model, memory, size, adapted);
  const allocated = device.bytes;
  const ask = async (maxTokens: number, stream: number) => {
    const asked = Array.from({ length: requests }, (_, r) => ({
      ids: Array.from({ length: prompt }, (_, i) => Math.floor(uniform(r, stream, i) * vocab)),
      maxTokens,
    }));
    const times: (readonly number[])[] = [];
    // Nothing ends an answer but its length.
    const greedy = { temperature: 0, topP: 1, seed: 0 };
    for await (const { at } of generator.answers(asked, new Set(), greedy)) {
      times.push(at.map((ms) => ms / 1000));
      io.progress(`${times.length} of ${requests} answers`);
      if (io.stop.requested) break;
    }
    return times;
  };
  try {
    await ask(2, 0);
    const times = await ask(answer, 1);
    io.progress();
    const firsts = times.map((at) => at[0]!), lasts = times.map((at) => at.at(-1)!);
    const gaps = times.flatMap((at) => at.slice(1).map((t, i) => t - at[i]!));
    const filled = Math.max(...firsts);
    return {
      model: model.folder.dir,
      ...(s.adapter === undefined ? {} : { adapter: s.adapter }),
      quant: quantName(model),
      prompt_tokens: prompt,
      answer_tokens: answer,
      requests,
      prefill_tokens_s: (requests * prompt) / filled,
      decode_tokens_s: (requests * (answer - 1)) / (Math.max(...lasts) - filled),
      first_token_s: quantile(firsts, 0.5),
      token_p50_s: quantile(gaps, 0.5),
      token_p95_s: quantile(gaps, 0.95),
      allocated_bytes: allocated,
      host_peak_bytes: hostPeak(),
    };
  } finally {
    generator.free();
  }
}
