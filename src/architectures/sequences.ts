import { attention } from "../../kernels/attention/attention.ts";
import { sortByToken } from "../../kernels/embedding/embedding.ts";
import type { Graph } from "../graph/graph.ts";
import type { Runner } from "../graph/runner.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Net } from "../nn/net.ts";
import type { ModelSpec, Sizes } from "./architecture.ts";

/** Tokens in the order of their ids, or of their positions: what a table that learns is updated by. */
export interface Sorted {
  /** Places of tokens, u32[T] */
  readonly order: Tensor;
  /** Where each row of the table begins among them, u32[rows + 1] */
  readonly bounds: Tensor;
}

export const sortedInput = (g: Graph, name: string, tokens: number, rows: number): Sorted => ({
  order: g.input(`${name}order`, [tokens], "u32"),
  bounds: g.input(`${name}bounds`, [rows + 1], "u32"),
});

/** Writes it where a table learns. */
export function writeSorted(
  runner: Pick<Runner, "reads" | "write">,
  inputs: Sorted,
  of: Uint32Array,
  rows: number,
): void {
  if (rows === 0 || !runner.reads(inputs.order)) return;
  const { order, bounds } = sortByToken(of, rows);
  runner.write(inputs.order, order);
  runner.write(inputs.bounds, bounds);
}

/** Rows of the table of learnt positions; 0 where there is none. */
export const placesOf = ({ context, firstPosition }: Sizes): number =>
  firstPosition === undefined ? 0 : context + firstPosition;

/**
 * Several sequences in one row of T tokens, each seeing only itself, of which nothing is predicted: what
 * an embedding is made of. An encoder's tokens see all of their sequence, a decoder's what stands before.
 */
export class PackedSequences {
  readonly ids: Tensor;
  readonly positions: Tensor;
  readonly spans: Tensor;
  readonly reach: Tensor;
  readonly sorted: Sorted;
  readonly sortedPositions: Sorted;
  readonly #first: number;

  constructor(g: Graph, readonly sizes: Sizes, readonly tokens: number) {
    this.#first = sizes.firstPosition ?? 0;
    this.ids = g.input("ids", [tokens], "u32");
    this.positions = g.input("positions", [tokens], "u32");
    this.spans = g.input("spans", [tokens, 2], "u32");
    this.reach = g.input("reach", [tokens, 2], "u32");
    this.sorted = sortedInput(g, "", tokens, sizes.vocab);
    this.sortedPositions = sortedInput(g, "positions_", tokens, placesOf(sizes));
  }

  /**
   * Writes sequences into a runner's inputs. Together they must fit the tokens there are.
   * @returns where each begins in the packed order
   */
  fill(
    runner: Pick<Runner, "reads" | "write">,
    rows: readonly ArrayLike<number>[],
    { architecture: { bidirectional } }: ModelSpec,
  ): number[] {
    const T = this.tokens, starts: number[] = [];
    const ids = new Uint32Array(T), positions = new Uint32Array(T).fill(this.#first);
    const spans = new Uint32Array(2 * T), reach = new Uint32Array(2 * T);
    let at = 0;
    for (const row of rows) {
      const start = at, end = start + row.length;
      if (end > T) throw new Error(`rows of more than ${T} tokens were put into one batch`);
      starts.push(start);
      for (let t = 0; t < row.length; t++, at++) {
        ids[at] = row[t]!;
        positions[at] = this.#first + t;
        spans.set([start, bidirectional ? end : at + 1], 2 * at);
        reach.set([bidirectional ? start : at, end], 2 * at);
      }
    }
    runner.write(this.ids, ids);
    runner.write(this.positions, positions);
    runner.write(this.spans, spans);
    runner.write(this.reach, reach);
    writeSorted(runner, this.sorted, ids, this.sizes.vocab);
    writeSorted(runner, this.sortedPositions, positions, placesOf(this.sizes));
    return starts;
  }

  /** Records the model over this batch: hidden states [T, width] after the final norm. */
  hidden(model: ModelSpec, net: Net): Tensor {
    const { g } = net, { spans, reach } = this;
    return model.architecture.hidden(net, model.config, {
      ids: this.ids,
      positions: this.positions,
      sorted: net.full ? this.sorted : undefined,
      sortedPositions: net.full ? this.sortedPositions : undefined,
      attend: (q, k, v, heads) => attention(g, q, k, v, { spans, reach, ...heads }),
    });
  }
}
