import { permutation } from "../base/random.ts";
import type { PackedSize } from "../architectures/packed.ts";
import { apart, balanced } from "./apart.ts";
import { Exit, Fail } from "../base/fail.ts";

/** What the layout needs to know of a row. */
export interface RowLength {
  readonly tokens: number;
  readonly targets: number;
  /** As many as tokens where absent; more where two sequences share some. */
  readonly keys?: number;
  /** Numbers of its texts, where rows with the same text must not meet in a step. */
  readonly texts?: readonly number[];
}

/** One optimiser step: its rows, in micro-batches that each fit the packed size. */
export interface StepRows {
  readonly epoch: number;
  readonly micro: readonly (readonly number[])[];
}

export interface BatchPlan {
  readonly size: PackedSize;
  readonly steps: number;
  readonly stepsPerEpoch: number;
  /** The rows of optimiser step `step`, counted from 0. The same for every call: nothing is hidden. */
  at(step: number): StepRows;
}

export interface BatchOptions {
  /** Rows an optimiser step sees, batch × accumulation; with `fill`, packed sequences. */
  readonly rows: number;
  /** Pack rows into sequences of `budget` tokens once, and count those instead of rows. */
  readonly fill: boolean;
  readonly epochs: number;
  /** Optimiser steps; overrides `epochs`. */
  readonly iterations?: number;
  readonly seed: number;
  readonly shuffle: boolean;
  /** Most tokens one micro-batch may have. */
  readonly budget: number;
  /** Every micro-batch has `budget` places, however few the rows would need. */
  readonly exact?: boolean;
  /** Fewest tokens it must hold, for rows that are only measured. */
  readonly least?: number;
}

const up = (n: number, to: number) => Math.ceil(n / to) * to;

/**
 * First-fit decreasing: rows into as few bins of `budget` tokens as that rule gives, each bin in
 * ascending row order. Ties keep the given order, so the result depends on nothing else.
 */
export function pack(
  rows: readonly number[],
  lengths: readonly RowLength[],
  budget: number,
): number[][] {
  const order = rows.toSorted((a, b) => lengths[b]!.tokens - lengths[a]!.tokens);
  const bins: { free: number; rows: number[] }[] = [];
  for (const row of order) {
    const tokens = lengths[row]!.tokens;
    let bin = bins.find((b) => b.free >= tokens);
    if (!bin) bins.push(bin = { free: budget, rows: [] });
    bin.rows.push(row);
    bin.free -= tokens;
  }
  const place = new Map(rows.map((row, i) => [row, i]));
  return bins.map((bin) => bin.rows.sort((a, b) => place.get(a)! - place.get(b)!));
}

/**
 * Lays a whole run out before it starts: which rows each optimiser step sees, and the one packed size
 * that serves every micro-batch with the fewest token places computed.
 * @throws Fail (exit 3) for an empty dataset, or a row longer than the budget
 */
export function layOut(lengths: readonly RowLength[], o: BatchOptions): BatchPlan {
  if (lengths.length === 0) {
    throw new Fail(
      "Cannot train with empty dataset. No training examples available after formatting.",
      {
        why: "every row was left out as too long",
        fix: "--overlong truncate, or a larger --max-seq where the model can take that",
        exit: Exit.data,
      },
    );
  }
  const longest = lengths.reduce((most, row) => Math.max(most, row.tokens), 0);
  if (longest > o.budget) {
    throw new Fail(`a row has ${longest} tokens, a micro-batch holds ${o.budget}`, {
      exit: Exit.data,
    });
  }
  const all = [...lengths.keys()];
  // What a step counts: single rows, or sequences filled once so that every epoch has as many.
  const units = o.fill
    ? pack(o.shuffle ? [...permutation(o.seed, 0, all.length)] : all, lengths, o.budget)
    : all.map((row) => [row]);
  const orderOf = (epoch: number) =>
    o.shuffle ? permutation(o.seed, epoch, units.length) : Uint32Array.from(units.keys());
  const batchesOf = batching(lengths, o, orderOf), stepsPerEpoch = batchesOf.count;
  const steps = o.iterations ?? Math.ceil(stepsPerEpoch * o.epochs);
  let known: { epoch: number; batches: ArrayLike<number>[] } | undefined;
  const unitsAt = (step: number): { epoch: number; units: number[][] } => {
    const epoch = Math.floor(step / stepsPerEpoch);
    if (known?.epoch !== epoch) known = { epoch, batches: batchesOf.of(epoch) };
    const chosen = known.batches[step % stepsPerEpoch]!;
    return { epoch, units: Array.from(chosen, (unit) => units[unit]!) };
  };

  const tokens = o.fill || o.exact ? up(o.budget, 64) : bestBudget(
    lengths,
    (step) => unitsAt(step).units.flat(),
    Math.min(steps, stepsPerEpoch),
    Math.max(longest, o.least ?? 0),
    o.budget,
  );
  const microAt = (step: number) => {
    const { epoch, units } = unitsAt(step);
    return { epoch, micro: o.fill ? units : pack(units.flat(), lengths, tokens) };
  };
  const shares = lengths.some(({ tokens, keys = 0 }) => keys > tokens);
  let targets = 1, rows = 1, keys = tokens;
  for (let step = 0; step < steps; step++) {
    for (const bin of microAt(step).micro) {
      rows = Math.max(rows, bin.length);
      keys = Math.max(keys, keysOf(bin, lengths));
      targets = Math.max(targets, bin.reduce((sum, row) => sum + lengths[row]!.targets, 0));
    }
  }
  return {
    size: {
      tokens,
      targets: Math.min(tokens, up(targets, 64)),
      rows,
      keys: shares ? up(keys, 64) : undefined,
    },
    steps,
    stepsPerEpoch,
    at: microAt,
  };
}

/** How an epoch's order is cut into batches of `rows` units, the same number of them in every epoch. */
function batching(
  lengths: readonly RowLength[],
  { rows, fill }: BatchOptions,
  orderOf: (epoch: number) => Uint32Array,
): { readonly count: number; of(epoch: number): ArrayLike<number>[] } {
  const plain = Math.ceil(orderOf(0).length / rows);
  if (fill || lengths.some(({ texts }) => texts === undefined)) {
    const of = (epoch: number) => {
      const order = orderOf(epoch);
      return Array.from({ length: plain }, (_, i) => order.subarray(i * rows, (i + 1) * rows));
    };
    return { count: plain, of };
  }
  const texts = lengths.map(({ texts }) => texts!);
  // As many as the first epoch needs, however long the run is; an order that needs more takes its batches.
  const first = apart(orderOf(0), texts, rows), count = first.length;
  const of = (epoch: number) => {
    const own = epoch === 0 ? first : apart(orderOf(epoch), texts, rows);
    const batches = own.length > count ? first : own;
    return count === plain ? batches : balanced(batches, texts, count);
  };
  return { count, of };
}

/** Key places that rows of one micro-batch take. */
export const keysOf = (bin: readonly number[], lengths: readonly RowLength[]): number =>
  bin.reduce((sum, row) => sum + (lengths[row]!.keys ?? lengths[row]!.tokens), 0);

/** The multiple of 64 that computes the fewest places over (up to 256 of) an epoch's steps. */
function bestBudget(
  lengths: readonly RowLength[],
  rowsAt: (step: number) => number[],
  steps: number,
  longest: number,
  limit: number,
): number {
  const sampled = Array.from({ length: Math.min(steps, 256) }, (_, i) => rowsAt(i));
  // Every micro-batch costs about 64 places beside its tokens: dispatches, and kernels' ragged edges.
  const cost = (budget: number) =>
    sampled.reduce((sum, rows) => sum + pack(rows, lengths, budget).length * (budget + 64), 0);
  let best = Math.min(limit, up(longest, 64)), least = Infinity;
  for (let budget = up(longest, 64); budget <= limit; budget += budget < 1024 ? 64 : 256) {
    const total = cost(budget);
    if (total < least) [best, least] = [budget, total];
  }
  return best;
}
