import type { PreparedRow } from "../data/prepare.ts";
import type { SftExample } from "../data/rows.ts";
import {
  type Answer,
  answerMetrics,
  expectedCalibrationError,
  parseAnswer,
  perplexity,
  type Rate,
  sameAnswer,
} from "../evaluate/metrics.ts";
import { Scorer } from "../evaluate/score.ts";
import { Generator } from "../generate/generator.ts";
import { parseAnswerSchema } from "../settings/answer_schema.ts";
import { encodePrompt } from "../text/prompt.ts";
import { samplingOf } from "./infer.ts";
import { readText } from "./io.ts";
import type { Loaded } from "./loaded.ts";
import { questionOf } from "./questions.ts";
import type { Texts } from "./texts.ts";

/** What a schema finds wrong with an answer. */
export type Problems = (answer: unknown) => readonly string[];

export interface Asked {
  readonly examples: readonly SftExample[];
  /** The same rows tokenised with their answers, for the perplexity. */
  readonly rows: readonly PreparedRow[];
}

export interface Sampling {
  readonly temp: number;
  readonly top_p: number;
  readonly top_k?: number;
  readonly min_p?: number;
  readonly repetition_penalty?: number;
  readonly max_tokens: number;
  readonly seed: number;
}

/** A row answered: what was asked, expected, and given. */
export interface Answered {
  readonly line: number;
  readonly prompt: string;
  readonly expected: string;
  readonly predicted: string;
  readonly right: boolean;
  readonly example: SftExample;
}

/** What `whet eval` measures. Shares are in [0, 1], perplexity in tokens, latency in milliseconds. */
export interface Measures {
  readonly n: number;
  readonly exact_match: number;
  readonly raw_match: number;
  readonly json_valid: number;
  readonly schema_valid?: number;
  readonly fields: Readonly<Record<string, number>>;
  readonly command?: Readonly<Record<string, number>>;
  readonly perplexity: number;
  readonly latency_ms?: Readonly<Record<string, number>>;
  /** Only where answers state a confidence. */
  readonly ece?: number;
}

/** Tokens of one scoring run, unless a row is longer. */
const RUN = 512;
const SLOTS = 16;
const PREFILL = 256;

/**
 * Answers every question of the rows and scores every answer they have.
 * @param adapted `{}` measures the base alone
 */
export async function measure(
  loaded: Loaded,
  adapted: Loaded["adapted"],
  { tokenizer, template }: Texts,
  { examples, rows }: Asked,
  sampling: Sampling,
  problems: Problems | undefined,
  progress: (done: number, of: number) => void,
): Promise<{ measures: Measures; answered: Answered[] }> {
  const questions = examples.flatMap((example) => {
    const question = questionOf(example);
    return question ? [{ example, ...question }] : [];
  });
  const answered: Answered[] = [];
  const answers: Answer[] = [];
  if (questions.length > 0) {
    const requests = questions.map(({ prompt }) => {
      const ids = encodePrompt(tokenizer, prompt, { template });
      const left = Math.max(1, loaded.model.sizes.context - ids.length);
      return { ids, maxTokens: Math.min(sampling.max_tokens, left) };
    });
    const longest = Math.max(...requests.map(({ ids }) => ids.length));
    const generator = await Generator.create(loaded.model, loaded.memory, {
      slots: Math.min(SLOTS, requests.length),
      context: Math.ceil((longest + sampling.max_tokens + 1) / 64) * 64,
      prefill: Math.min(PREFILL, Math.ceil((longest * SLOTS) / 64) * 64),
    }, adapted);
    const how = samplingOf(sampling);
    // The first request compiles kernels, which is no part of anybody's latency.
    for await (const _ of generator.answers([{ ...requests[0]!, maxTokens: 2 }], new Set(), how));
    for await (
      const { ids, milliseconds } of generator.answers(requests, new Set(tokenizer.eosIds), how)
    ) {
      const { example, shown, expected } = questions[answers.length]!;
      const predicted = tokenizer.decode(ids, { skipSpecial: true });
      answers.push({ predicted, expected, latencyMs: milliseconds });
      const right = sameAnswer(predicted, expected);
      answered.push({ line: example.line, prompt: shown, expected, predicted, right, example });
      progress(answers.length, questions.length);
    }
    generator.free();
  }
  const { n, fields, command, latency_ms, ...shares } = answerMetrics(answers, problems);
  const measures: Measures = {
    n: questions.length > 0 ? n : rows.length,
    ...shares,
    fields: rates(fields),
    ...(command.command.of > 0 ? { command: rates(command) } : {}),
    perplexity: await perplexityOf(loaded, adapted, rows),
    ...(latency_ms ? { latency_ms: { ...latency_ms } } : {}),
    ...calibration(answered),
  };
  return { measures, answered };
}

const rates = (all: Readonly<Record<string, Rate>>): Record<string, number> =>
  Object.fromEntries(Object.entries(all).map(([name, { rate }]) => [name, rate]));

async function perplexityOf(
  { model, memory }: Loaded,
  adapted: Loaded["adapted"],
  rows: readonly PreparedRow[],
): Promise<number> {
  const longest = rows.reduce((most, { ids }) => Math.max(most, ids.length), RUN);
  const scorer = await Scorer.create(model, memory, longest, adapted);
  const losses: { nll: number; tokens: number }[] = [];
  for await (const { logprobs } of scorer.scores(rows.map(({ ids }) => ids))) {
    const { labels, targets } = rows[losses.length]!;
    const nll = logprobs.reduce((sum, p, t) => labels[t + 1] === -100 ? sum : sum - p, 0);
    losses.push({ nll, tokens: targets });
  }
  scorer.free();
  return perplexity(losses);
}

function calibration(answered: readonly Answered[]): { ece?: number } {
  const stated = answered.flatMap(({ predicted, right }) => {
    const value = parseAnswer(predicted)?.value as { confidence?: unknown } | null | undefined;
    return typeof value?.confidence === "number" ? [{ confidence: value.confidence, right }] : [];
  });
  return stated.length > 0 ? { ece: expectedCalibrationError(stated) } : {};
}

/** --schema: a CLI schema in YAML, or a JSON Schema. @throws Fail (usage) (data) */
export function problemsOf(path: string): Problems {
  return parseAnswerSchema(readText(path, "the schema"), path).problems;
}
