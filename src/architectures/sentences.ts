import { pool, type PoolInputs } from "../../kernels/pool/pool.ts";
import type { Graph } from "../graph/graph.ts";
import type { Runner } from "../graph/runner.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Net } from "../nn/net.ts";
import type { ModelSpec } from "./architecture.ts";
import { PackedSequences } from "./sequences.ts";

/** Which hidden states of a sequence its embedding is made of. */
export type Pooling = "mean" | "cls" | "last" | "mean_sqrt_len";

/** A text as an embedding sees it. */
export interface Sentence {
  readonly ids: ArrayLike<number>;
  /** The first tokens, of a prompt, that are seen but not pooled by a mean. */
  readonly skip?: number;
}

const NONE = 0xffffffff;

/** The tokens [lo, hi) of a sentence of n that are pooled, and what their sum is multiplied with. */
function share(pooling: Pooling, n: number, skip = 0): [lo: number, hi: number, factor: number] {
  if (pooling === "cls") return [0, 1, 1];
  if (pooling === "last") return [n - 1, n, 1];
  const some = n - skip;
  return [skip, n, 1 / (pooling === "mean" ? some : Math.sqrt(some))];
}

/** Packed sentences, and one embedding for each: places for S of them. */
export class SentenceBatch {
  readonly sequences: PackedSequences;
  readonly #inputs: PoolInputs;

  constructor(
    g: Graph,
    private readonly model: ModelSpec,
    readonly size: { readonly tokens: number; readonly sentences: number },
    private readonly pooling: Pooling,
  ) {
    const { tokens, sentences } = size;
    this.sequences = new PackedSequences(g, model.sizes, tokens);
    this.#inputs = {
      ranges: g.input("ranges", [sentences, 2], "u32"),
      owner: g.input("owner", [tokens], "u32"),
      factor: g.input("factor", [sentences], "f32"),
    };
  }

  /**
   * Writes sentences into a runner's inputs.
   * @param places row s of the embeddings is that of sentences[s]; undefined leaves zeros there
   */
  fill(
    runner: Pick<Runner, "reads" | "write">,
    places: readonly (Sentence | undefined)[],
  ): void {
    const { tokens, sentences: S } = this.size, owner = new Uint32Array(tokens).fill(NONE);
    const ranges = new Uint32Array(2 * S), factor = new Float32Array(S);
    if (places.length > S) throw new Error(`more than ${S} sentences were put into one batch`);
    const given = [...places.entries()].filter(([, sentence]) => sentence !== undefined);
    const rows = given.map(([, sentence]) => sentence!.ids);
    const starts = this.sequences.fill(runner, rows, this.model);
    given.forEach(([s, sentence], i) => {
      const [lo, hi, f] = share(this.pooling, sentence!.ids.length, sentence!.skip);
      ranges.set([starts[i]! + lo, starts[i]! + hi], 2 * s);
      owner.fill(s, starts[i]! + lo, starts[i]! + hi);
      factor[s] = f;
    });
    runner.write(this.#inputs.ranges, ranges);
    runner.write(this.#inputs.owner, owner);
    runner.write(this.#inputs.factor, factor);
  }

  /** Records the model over this batch: embeddings f32[S, width], not normalised. */
  embeddings(net: Net): Tensor {
    return pool(net.g, this.sequences.hidden(this.model, net), this.#inputs);
  }
}
