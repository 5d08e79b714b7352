import { add } from "../../kernels/add/add.ts";
import { attention } from "../../kernels/attention/attention.ts";
import { gatherRows } from "../../kernels/gather_rows/gather_rows.ts";
import { linearCrossEntropy } from "../../kernels/linear_cross_entropy/linear_cross_entropy.ts";
import { neftune } from "../../kernels/neftune/neftune.ts";
import type { Graph } from "../graph/graph.ts";
import type { Runner } from "../graph/runner.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Net } from "../nn/net.ts";
import { headOf, type ModelSpec, type Sizes } from "./architecture.ts";
import { placesOf, type Sorted, sortedInput, writeSorted } from "./sequences.ts";

/** One sequence: `labels[t]` is what position t-1 must predict, -100 where it is not asked. */
export interface TokenRow {
  readonly ids: ArrayLike<number>;
  readonly labels: ArrayLike<number>;
  /** Where the row is several texts, one after the other: how many tokens each has; 0 where it is missing. */
  readonly texts?: readonly { readonly length: number; readonly skip?: number }[];
  /** What each label counts in the loss; 1 where absent. */
  readonly weights?: ArrayLike<number>;
  /** Where the row is two answers to one prompt. */
  readonly pair?: Pair;
}

/**
 * How a row holds two sequences that begin alike: `shared` tokens that are the same in both, then the
 * rest of the chosen one, and from `rejected` on the rest of the other. With nothing shared each begins
 * anew.
 */
export interface Pair {
  readonly shared: number;
  readonly rejected: number;
  /** Where the first answer begins, if tokens before it are predicted too. */
  readonly answer?: number;
  /** Whether the first answer is a good one, where the second is that of another row. */
  readonly wanted?: boolean;
}

/** The row with no sequence of more than `most` tokens: itself where none is. */
export function truncated(row: TokenRow, most: number): TokenRow {
  if (row.texts) return shorter(row, row.texts, most);
  const { ids, labels, weights, pair } = row, n = ids.length;
  const middle = pair?.rejected ?? n, second = n - middle + (pair?.shared ?? 0);
  if (middle <= most && second <= most) return row;
  const ends = [Math.min(middle, most), Math.min(n, n - second + most)] as const;
  const cut = (all: ArrayLike<number>) => {
    const list = Array.from(all);
    return [...list.slice(0, ends[0]), ...list.slice(middle, ends[1])];
  };
  return {
    ids: cut(ids),
    labels: cut(labels),
    weights: weights && cut(weights),
    pair: pair && { ...pair, shared: Math.min(pair.shared, most), rejected: ends[0] },
  };
}

/** The same for a row of texts. */
function shorter(row: TokenRow, texts: NonNullable<TokenRow["texts"]>, most: number): TokenRow {
  if (texts.every(({ length }) => length <= most)) return row;
  let from = 0;
  const ids = texts.flatMap(({ length }) =>
    Array.prototype.slice.call(row.ids, from, from += length).slice(0, most) as number[]
  );
  return {
    ...row,
    ids,
    texts: texts.map((text) => ({ ...text, length: Math.min(text.length, most) })),
  };
}

/** Shapes of a packed batch: T token places, S places for predictions. Fixed for a whole run. */
export interface PackedSize {
  readonly tokens: number;
  readonly targets: number;
  /** Most rows of one batch; for those that need a place for each. */
  readonly rows?: number;
  /** Where rows share tokens between two sequences: places for keys, of which each sequence has its own. */
  readonly keys?: number;
}

const NONE = 0xffffffff;

/**
 * Several sequences in one row of T tokens, each seeing only itself, as one recorded program sees them:
 * no padding to a common length, and one plan for every batch.
 */
export class PackedBatch {
  readonly size: PackedSize;
  readonly ids: Tensor;
  readonly positions: Tensor;
  readonly spans: Tensor;
  readonly reach: Tensor;
  readonly sorted: Sorted;
  readonly sortedPositions: Sorted;
  readonly map: Tensor;
  readonly inverse: Tensor;
  readonly labels: Tensor;
  readonly weights: Tensor;
  /** The key that each token makes, and the second one that shared tokens make: there, and back. */
  readonly #keys: readonly { readonly map: Tensor; readonly inverse: Tensor }[];

  constructor(g: Graph, readonly sizes: Sizes, size: PackedSize) {
    const { tokens: T, targets: S } = size;
    this.size = size;
    this.ids = g.input("ids", [T], "u32");
    this.positions = g.input("positions", [T], "u32");
    this.spans = g.input("spans", [T, 2], "u32");
    this.reach = g.input("reach", [size.keys ?? T, 2], "u32");
    this.#keys = size.keys === undefined ? [] : ["keys", "second keys"].map((name) => ({
      map: g.input(name, [size.keys!], "u32"),
      inverse: g.input(`${name} of tokens`, [T], "u32"),
    }));
    this.sorted = sortedInput(g, "", T, sizes.vocab);
    this.sortedPositions = sortedInput(g, "positions_", T, placesOf(sizes));
    this.map = g.input("targets", [S], "u32");
    this.inverse = g.input("inverse", [T], "u32");
    this.labels = g.input("labels", [S], "u32");
    this.weights = g.input("weights", [S], "f32");
  }

  /**
   * Writes rows into a runner's inputs. Together they must fit the size; `weight` is what every
   * supervised token's loss is multiplied with, beside its own weight. With `everywhere`, every position has a place among the
   * targets, in order, also those that predict nothing: their argmax can be read.
   * @returns number of supervised tokens, and where each row begins in the packed order
   */
  fill(
    runner: Pick<Runner, "reads" | "write">,
    rows: readonly TokenRow[],
    weight: number,
    everywhere = false,
  ): { targets: number; starts: number[] } {
    const { tokens: T, targets: S } = this.size;
    const ids = new Uint32Array(T), positions = new Uint32Array(T);
    const K = this.size.keys ?? T, places = new Keys(T, K);
    const spans = new Uint32Array(2 * T), reach = new Uint32Array(2 * K);
    const map = new Uint32Array(S).fill(NONE), inverse = new Uint32Array(T).fill(NONE);
    const labels = new Uint32Array(S).fill(NONE), weights = new Float32Array(S);
    const starts: number[] = [];
    let at = 0, s = 0, key = 0; // key: the first of the row
    for (const row of rows) {
      const start = at, n = row.ids.length;
      starts.push(start);
      if (at + n > T) throw new Error(`rows of more than ${T} tokens were put into one batch`);
      const { rejected: middle, shared } = row.pair ?? { rejected: n, shared: 0 };
      if (key + n + shared > K) throw new Error(`rows of more than ${K} keys in one batch`);
      for (let t = 0; t < n; t++, at++) {
        const second = t >= middle, own = key + t + (second ? shared : 0);
        ids[at] = row.ids[t]!;
        positions[at] = second ? shared + t - middle : t;
        spans[2 * at] = second ? key + middle : key;
        spans[2 * at + 1] = own + 1;
        reach[2 * own] = at;
        reach[2 * own + 1] = start + (second ? n : middle);
        places.is(0, own, at);
        if (t < shared) {
          const copy = key + middle + t;
          reach[2 * copy] = start + middle;
          reach[2 * copy + 1] = start + n;
          places.is(1, copy, at);
        }
        const label = t + 1 < n ? row.labels[t + 1]! : -100;
        if (label === -100 && !everywhere) continue;
        if (s === S) throw new Error(`more than ${S} supervised tokens were put into one batch`);
        map[s] = at;
        inverse[at] = s;
        if (label !== -100) labels[s] = label;
        weights[s++] = weight * (row.weights?.[t + 1] ?? 1);
      }
      key += n + shared;
    }
    this.#keys.forEach(({ map, inverse }, which) => {
      runner.write(map, places.map[which]!);
      runner.write(inverse, places.inverse[which]!);
    });
    runner.write(this.ids, ids);
    runner.write(this.positions, positions);
    runner.write(this.spans, spans);
    runner.write(this.reach, reach);
    writeSorted(runner, this.sorted, ids, this.sizes.vocab);
    writeSorted(runner, this.sortedPositions, positions, placesOf(this.sizes));
    runner.write(this.map, map);
    runner.write(this.inverse, inverse);
    runner.write(this.labels, labels);
    runner.write(this.weights, weights);
    return { targets: s, starts };
  }

  /**
   * Records the model over this batch: hidden states [T, width] after the final norm.
   * @param alpha strength of the noise on embeddings, see `neftune`
   */
  hidden(model: ModelSpec, net: Net, alpha = 0): Tensor {
    const { g, clock } = net, { spans, reach } = this;
    return model.architecture.hidden(net, model.config, {
      ids: this.ids,
      positions: this.positions,
      sorted: net.full ? this.sorted : undefined,
      sortedPositions: net.full ? this.sortedPositions : undefined,
      noise: alpha > 0 ? (x) => neftune(g, x, { spans, reach, clock }, { alpha }) : undefined,
      attend: (q, k, v, heads) =>
        attention(g, q, this.#keyed(g, k), this.#keyed(g, v), { spans, reach, ...heads }),
    });
  }

  /** x[T, C] at the places of keys: shared tokens stand there twice, and their gradients add up. */
  #keyed(g: Graph, x: Tensor): Tensor {
    const parts = this.#keys.map(({ map, inverse }) => gatherRows(g, x, map, inverse));
    return parts.length === 0 ? x : g.add(add, parts, null)[0]!;
  }

  /**
   * Records the loss over the supervised positions only, in chunks, so that all logits never exist at
   * once. `nll` is f32[S], `argmax` u32[S], `loss` the weighted sum.
   * @param smoothing of the labels, as `linearCrossEntropy` has it
   * @param byRow gradients come by `nll`, not only by `loss`
   */
  loss(
    model: ModelSpec,
    net: Net,
    hidden: Tensor,
    gradient: boolean,
    smoothing = 0,
    byRow = false,
  ): ReturnType<typeof linearCrossEntropy> {
    const { g } = net, { weight, bias, cap } = headOf(model, net);
    const h = gatherRows(g, hidden, this.map, this.inverse);
    const { labels, weights } = this;
    const given = { labels, weights, gradient, cap, smoothing, byRow };
    return linearCrossEntropy(g, { h, w: weight, bias, ...given });
  }
}

/** Which token makes which key, and back; NONE where there is none. */
class Keys {
  readonly map: readonly Uint32Array[];
  readonly inverse: readonly Uint32Array[];

  constructor(tokens: number, keys: number) {
    this.map = [0, 1].map(() => new Uint32Array(keys).fill(NONE));
    this.inverse = [0, 1].map(() => new Uint32Array(tokens).fill(NONE));
  }

  is(which: 0 | 1, key: number, token: number): void {
    this.map[which]![key] = token;
    this.inverse[which]![token] = key;
  }
}
