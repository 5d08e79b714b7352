import type { PreparedRow } from "../../data/prepare.ts";
import type { SftExample } from "../../data/rows.ts";
import { type Given, judge, type Judged, type Judging } from "../../evaluate/judge.ts";
import { type Measures, measuresOf, type Metric } from "../../evaluate/measures.ts";
import type { TokenLoss } from "../../evaluate/metrics.ts";
import { Scorer } from "../../evaluate/score.ts";
import { Generator } from "../../generate/generator.ts";
import type { Grammar } from "../../text/grammar/constraint.ts";
import { encodePrompt } from "../../text/prompt.ts";
import { samplingOf } from "../use/infer.ts";
import type { Loaded } from "../use/loaded.ts";
import { questionOf } from "../use/questions.ts";
import type { Texts } from "../use/texts.ts";

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

/** What is measured, and how. */
export interface Measuring extends Judging {
  /** All unless told. */
  readonly only?: readonly Metric[];
  /** What holds the answers. */
  readonly grammar?: Grammar;
  /** Which slices each row belongs to, in the order of the rows. */
  readonly slices?: readonly Readonly<Record<string, string>>[];
}

export interface Evaluated {
  readonly measures: Measures;
  readonly judged: readonly Judged[];
}

/** How answers are judged where nothing else is said. */
export const PLAIN: Judging = { sections: [], thresholds: [0.9, 0.7, 0.5] };

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
  texts: Texts,
  { examples, rows }: Asked,
  sampling: Sampling,
  how: Measuring,
  progress: (done: number, of: number) => void,
): Promise<Evaluated> {
  const { only } = how;
  const generates = !only || only.some((name) => name !== "ppl");
  const scores = !only || only.includes("ppl");
  const { given, seconds } = generates
    ? await answers(loaded, adapted, texts, examples, sampling, progress, how.grammar)
    : { given: [], seconds: 0 };
  const losses = scores ? await lossesOf(loaded, adapted, rows) : undefined;
  const judged = given.map(({ row, ...one }) => {
    const loss = losses?.[row], slices = how.slices?.[row];
    return judge({
      ...one,
      ...(loss ? { nll: loss.nll, targets: loss.tokens } : {}),
      ...(slices ? { slices } : {}),
    }, how);
  });
  const { sections } = how, rouge = only?.includes("rouge");
  return { measures: measuresOf(judged, { sections, seconds, losses, rouge, only }), judged };
}

/**
 * The answers to all rows that ask something, in their order, and the seconds they took together; `row`
 * is the row's place among all.
 */
async function answers(
  loaded: Loaded,
  adapted: Loaded["adapted"],
  { tokenizer, template }: Texts,
  examples: readonly SftExample[],
  sampling: Sampling,
  progress: (done: number, of: number) => void,
  grammar: Grammar | undefined,
): Promise<{ given: (Given & { row: number })[]; seconds: number }> {
  const questions = examples.flatMap((example, row) => {
    const question = questionOf(example);
    return question ? [{ row, line: example.line, ...question }] : [];
  });
  const given: (Given & { row: number })[] = [];
  if (questions.length === 0) return { given, seconds: 0 };
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
  const stop = new Set(tokenizer.eosIds);
  // The first request compiles kernels, which is no part of anybody's latency.
  for await (const _ of generator.answers([{ ...requests[0]!, maxTokens: 2 }], new Set(), how));
  const began = performance.now();
  for await (const { ids, milliseconds } of generator.answers(requests, stop, how, grammar)) {
    const { shown: prompt, prompt: _, ...asked } = questions[given.length]!;
    const predicted = tokenizer.decode(ids, { skipSpecial: true });
    given.push({ ...asked, prompt, predicted, milliseconds, tokens: ids.length });
    progress(given.length, questions.length);
  }
  generator.free();
  return { given, seconds: (performance.now() - began) / 1000 };
}

/** The loss of every row's own answer, in the order of the rows. */
async function lossesOf(
  { model, memory }: Loaded,
  adapted: Loaded["adapted"],
  rows: readonly PreparedRow[],
): Promise<TokenLoss[]> {
  const longest = rows.reduce((most, { ids }) => Math.max(most, ids.length), RUN);
  const scorer = await Scorer.create(model, memory, longest, adapted);
  const losses: TokenLoss[] = [];
  for await (const { logprobs } of scorer.scores(rows.map(({ ids }) => ids))) {
    const { labels, targets } = rows[losses.length]!;
    const nll = logprobs.reduce((sum, p, t) => labels[t + 1] === -100 ? sum : sum - p, 0);
    losses.push({ nll, tokens: targets });
  }
  scorer.free();
  return losses;
}
