import { normalise } from "../../kernels/normalise/normalise.ts";
import { type Model, netOf } from "../architectures/model.ts";
import { type Pooling, type Sentence, SentenceBatch } from "../architectures/sentences.ts";
import { Graph } from "../graph/graph.ts";
import type { Memory } from "../graph/memory.ts";
import { Runner } from "../graph/runner.ts";
import type { Tensor } from "../graph/tensor.ts";
import { atRest, type Lora } from "../nn/net.ts";

/** What an embedding is, of a model's hidden states. */
export interface Embedding {
  readonly pooling: Pooling;
  /** Of unit length. */
  readonly normalise: boolean;
}

interface Size {
  /** The longest sentence, and all tokens of a run. */
  readonly tokens: number;
  /** Most sentences of a run. */
  readonly sentences: number;
}

type Adapted = { readonly lora?: Lora; readonly full?: boolean };

/** Embeddings of given sentences: the model forward only, several of them a run. */
export class Embedder {
  private constructor(
    readonly size: Size,
    private readonly batch: SentenceBatch,
    private readonly runner: Runner,
    private readonly result: Tensor,
  ) {}

  static #record(model: Model, size: Size, how: Embedding, { lora, full }: Adapted) {
    const g = new Graph(), batch = new SentenceBatch(g, model, size, how.pooling);
    const net = netOf(model, g, { positions: size.tokens, full, lora: atRest(lora) });
    const pooled = batch.embeddings(net);
    return { g, batch, result: how.normalise ? normalise(g, pooled) : pooled };
  }

  /** The weights that are read, by home. */
  static tensors(model: Model, adapted: Adapted = {}) {
    const how = { pooling: "mean", normalise: false } as const;
    const { g } = Embedder.#record(model, { tokens: 1, sentences: 1 }, how, adapted);
    return { frozen: g.all("frozen"), trained: g.all("trained") };
  }

  /** Builds the program over weights that `memory` holds. */
  static async create(
    model: Model,
    memory: Memory,
    size: Size,
    how: Embedding,
    adapted: Adapted = {},
  ): Promise<Embedder> {
    const { g, batch, result } = Embedder.#record(model, size, how, adapted);
    const runner = await Runner.prepare("embed", memory, g.nodes, [result]);
    return new Embedder(size, batch, runner, result);
  }

  /** Embeds sentences that together fit one run. */
  async embed(sentences: readonly Sentence[]): Promise<Float32Array[]> {
    this.batch.fill(this.runner, sentences);
    await this.runner.run();
    const all = await this.runner.read(this.result), width = this.result.shape[1]!;
    return sentences.map((_, s) => all.slice(s * width, (s + 1) * width));
  }

  /** Embeds a stream of sentences in order, as many as fit in each run. */
  async *embeddings(sentences: Iterable<Sentence>): AsyncGenerator<Float32Array> {
    let waiting: Sentence[] = [], held = 0;
    for (const sentence of sentences) {
      const { length } = sentence.ids;
      if (held + length > this.size.tokens || waiting.length === this.size.sentences) {
        yield* await this.embed(waiting);
        [waiting, held] = [[], 0];
      }
      waiting.push(sentence);
      held += length;
    }
    if (waiting.length > 0) yield* await this.embed(waiting);
  }

  free(): void {
    this.runner.free();
  }
}
