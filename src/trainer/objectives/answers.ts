import { append } from "../../../kernels/append/append.ts";
import { scale } from "../../../kernels/scale/scale.ts";
import { segmentSum } from "../../../kernels/segment_sum/segment_sum.ts";
import { weightedSums } from "../../../kernels/weighted_sums/weighted_sums.ts";
import { type Model, netOf } from "../../architectures/model.ts";
import { PackedBatch, type TokenRow } from "../../architectures/packed.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { Net } from "../../nn/net.ts";
import type { Recipe } from "../program.ts";
import type { Inputs } from "./objective.ts";

/** What TRL calls the mean logit of the tokens of the better and of the other answers. */
export const logitNames = ["logits/chosen", "logits/rejected"] as const;

/** Tokens that a loss on likelihoods counts beside a loss on answers. */
type Counted = (row: TokenRow, t: number) => boolean;

/** The log-probabilities of the answers of a micro-batch: two of each row. */
export class Answers {
  /** Most rows. */
  readonly rows: number;
  /** f32[2 · rows, 1], minus log-probability: chosen, rejected, chosen, … */
  readonly nll: Tensor;
  /** u32[2 · rows, 2]: where the targets of each answer begin and end. */
  readonly bounds: Tensor;
  /** f32[1]: minus the log-probability of the tokens that `fill` counts, each by its weight. */
  readonly likelihood: Tensor;
  /** f32[2 · rows, 1]: the log-probabilities without the adapter, of the same pass over the batch. */
  readonly reference: Tensor | undefined;
  readonly #means: Tensor;
  readonly #seen: Tensor;
  readonly #owner: Tensor;
  readonly #net: Net;
  readonly #batch: PackedBatch;

  /** @param adapterOff `reference` is asked for too: the same weights without the adapter */
  constructor(model: Model, net: Net, recipe: Recipe, gradient: boolean, adapterOff = false) {
    const { g } = net, { size } = recipe, batch = new PackedBatch(g, model.sizes, size);
    this.#net = net;
    this.#batch = batch;
    this.rows = size.rows ?? 1;
    this.bounds = g.input("answers", [2 * this.rows, 2], "u32");
    this.#owner = g.input("answer of target", [size.targets], "u32");
    this.#seen = g.input("logits of target", [size.targets, 2], "f32");
    if (adapterOff) {
      const base = netOf(model, g, { ...recipe, lora: undefined });
      const { nll } = batch.loss(model, base, batch.hidden(model, base), false);
      // Nothing of it has a gradient: there is nothing to compute again.
      g.blocks.splice(0);
      const minus = g.constant("minus one", [1], Float32Array.of(-1));
      this.reference = scale(g, segmentSum(g, nll, this.bounds, this.#owner), minus);
    }
    const { nll, means, loss } = batch.loss(
      model,
      net,
      batch.hidden(model, net),
      gradient,
      0,
      true,
    );
    this.likelihood = loss;
    this.#means = means;
    this.nll = segmentSum(g, nll, this.bounds, this.#owner);
  }

  /** What is logged, and behind it `logitNames`. */
  logged(parts: readonly Tensor[]): Tensor {
    const { g } = this.#net;
    return append(g, [...parts, weightedSums(g, this.#means, this.#seen)]);
  }

  /**
   * Writes rows into the inputs.
   * @param all the rows of the whole step, for means over its tokens
   * @param count which of the tokens of `all` the likelihood counts
   */
  fill(
    inputs: Inputs,
    rows: readonly TokenRow[],
    all: readonly TokenRow[] = rows,
    count?: Counted,
  ): void {
    const { rows: most } = this, { targets: S } = this.#batch.size;
    if (rows.length > most) throw new Error(`${rows.length} rows in a batch for ${most}`);
    const counted = count && likely(rows, all, count);
    this.#batch.fill(inputs, counted ?? rows, 1);
    const bounds = new Uint32Array(4 * most), owner = new Uint32Array(S).fill(0xffffffff);
    const seen = new Float32Array(2 * S), sees = inputs.reads(this.#seen);
    const share = sees ? [true, false].map((wanted) => 1 / tokensOf(all, wanted)) : [];
    let s = 0;
    for (let i = 0; i < 2 * most; i++) {
      const row = rows[i >> 1], second = i % 2 === 1;
      const { before, inside } = row ? targetsOf(row, second) : { before: 0, inside: 0 };
      const from = s + before;
      s = from + inside;
      bounds.set([from, s], 2 * i);
      owner.fill(i, from, s);
      const which = row && whichOf(row, second);
      if (sees && which !== undefined) {
        for (let at = from; at < s; at++) seen[2 * at + which] = share[which]!;
      }
    }
    inputs.write(this.bounds, bounds);
    inputs.write(this.#owner, owner);
    if (sees) inputs.write(this.#seen, seen);
  }
}

/** 0 for an answer that is wanted, 1 for another, undefined for what only measures the distance. */
function whichOf({ pair }: TokenRow, second: boolean): 0 | 1 | undefined {
  if (pair?.wanted === undefined) return second ? 1 : 0;
  return second ? undefined : pair.wanted ? 0 : 1;
}

/** Tokens of all answers of a kind that are predicted. */
function tokensOf(rows: readonly TokenRow[], wanted: boolean): number {
  let n = 0;
  for (const row of rows) {
    for (const second of [false, true]) {
      if (whichOf(row, second) === (wanted ? 0 : 1)) n += targetsOf(row, second).inside;
    }
  }
  return n;
}

/** Tokens of one of the two answers that are predicted, and those of its prompt before. */
function targetsOf({ labels, pair }: TokenRow, second: boolean) {
  const middle = pair?.rejected ?? labels.length, answer = second ? 0 : pair?.answer ?? 0;
  let before = 0, inside = 0;
  for (let t = second ? middle : 1; t < (second ? labels.length : middle); t++) {
    if (labels[t] === -100) continue;
    if (t < answer) before++;
    else inside++;
  }
  return { before, inside };
}

/** The rows with weights that make the likelihood a mean over the counted tokens of all. */
function likely(rows: readonly TokenRow[], all: readonly TokenRow[], count: Counted): TokenRow[] {
  let tokens = 0;
  for (const row of all) {
    for (let t = 1; t < row.labels.length; t++) {
      if (row.labels[t] !== -100 && count(row, t)) tokens++;
    }
  }
  return rows.map((row) => ({
    ...row,
    weights: Array.from(row.labels, (_, t) => count(row, t) ? 1 / Math.max(1, tokens) : 0),
  }));
}

/** Tokens of the first answer of a row. */
export const ofChosen: Counted = ({ pair }, t) => t < (pair?.rejected ?? Infinity);
