import { type Model, netOf } from "../architectures/model.ts";
import { PackedBatch, type TokenRow } from "../architectures/packed.ts";
import { Graph } from "../graph/graph.ts";
import type { Memory } from "../graph/memory.ts";
import { Runner } from "../graph/runner.ts";
import type { Tensor } from "../graph/tensor.ts";
import { atRest, type Lora } from "../nn/net.ts";

export interface Score {
  /** log p(ids[t] | ids[<t]) for t ≥ 1 */
  readonly logprobs: number[];
  /** The most likely next id after each position. */
  readonly argmax: number[];
}

/** Log-probabilities of given tokens: the model forward only, several rows a run. */
export class Scorer {
  private constructor(
    readonly tokens: number,
    private readonly batch: PackedBatch,
    private readonly runner: Runner,
    private readonly nll: Tensor,
    private readonly argmax: Tensor,
  ) {}

  /** Builds the program over weights that `memory` holds; `tokens` is the longest row and the batch size. */
  static async create(
    model: Model,
    memory: Memory,
    tokens: number,
    adapted: { lora?: Lora; full?: boolean } = {},
  ): Promise<Scorer> {
    const g = new Graph();
    const batch = new PackedBatch(g, model.sizes, { tokens, targets: tokens });
    const net = netOf(model, g, {
      positions: tokens,
      full: adapted.full,
      lora: atRest(adapted.lora),
    });
    const { nll, argmax } = batch.loss(model, net, batch.hidden(model, net), false);
    const runner = await Runner.prepare("score", memory, g.nodes, [nll, argmax]);
    return new Scorer(tokens, batch, runner, nll, argmax);
  }

  /** Scores rows that together fit one batch. */
  async score(rows: readonly (readonly number[])[]): Promise<Score[]> {
    const asked: TokenRow[] = rows.map((ids) => ({ ids, labels: ids }));
    const { starts } = this.batch.fill(this.runner, asked, 1, true);
    await this.runner.run();
    const nll = await this.runner.read(this.nll), best = await this.runner.readU32(this.argmax);
    return rows.map((ids, r) => {
      const at = starts[r]!;
      return {
        logprobs: Array.from(ids.slice(1), (_, t) => -nll[at + t]! + 0),
        argmax: Array.from(best.subarray(at, at + ids.length)),
      };
    });
  }

  /** Scores a stream of rows in order, packing as many as fit into each run. */
  async *scores(
    rows: Iterable<readonly number[]> | AsyncIterable<readonly number[]>,
  ): AsyncGenerator<Score> {
    let waiting: (readonly number[])[] = [], held = 0;
    for await (const row of rows) {
      if (held + row.length > this.tokens) {
        yield* await this.score(waiting);
        [waiting, held] = [[], 0];
      }
      waiting.push(row);
      held += row.length;
    }
    if (waiting.length > 0) yield* await this.score(waiting);
  }

  free(): void {
    this.runner.free();
  }
}
