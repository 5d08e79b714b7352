import { type Storage, storedAs } from "../../kernels/common/stored.ts";
import type { Graph } from "../graph/graph.ts";
import type { DType, Shape, Tensor } from "../graph/tensor.ts";

/** A low-rank adapter (Hu et al. 2021), as it is recorded into every layer it targets. */
export interface Lora {
  readonly rank: number;
  readonly alpha: number;
  /** Scale by alpha / sqrt(rank) instead of alpha / rank (Kalajdzievski 2023). */
  readonly rslora: boolean;
  /** Each adapted row has a learnt length (Liu et al. 2024). */
  readonly dora?: boolean;
  /** Probability that an element of the adapter's input is dropped; 0 outside training. */
  readonly dropout: number;
  /** Whether the module at this path, "model.layers.0.self_attn.q_proj", carries an adapter. */
  targets(module: string): boolean;
}

/** The adapter as it acts outside training: nothing is dropped. */
export const atRest = (lora: Lora | undefined): Lora | undefined => lora && { ...lora, dropout: 0 };

/** What a layer needs to record itself: the graph, and how its weights take part. */
export class Net {
  /** u32[2], (seed, micro step): what dropout masks are computed from. One for the whole network. */
  readonly clock: Tensor;
  #streams = 0;

  /**
   * @param dtypeOf storage type of a base weight by its checkpoint name
   * @param full every base weight is trained (in f32) instead of frozen
   * @param positions rows of the rotary tables: one more than the largest position
   * @param chunk most bytes of a value inside a feed-forward layer
   * @param compute how the activations of the forward pass are stored, but for the residual stream
   */
  constructor(
    readonly g: Graph,
    readonly positions: number,
    readonly dtypeOf: (name: string) => DType,
    readonly full = false,
    readonly lora?: Lora,
    readonly chunk = 32 * 2 ** 20,
    readonly compute: Storage = "f32",
  ) {
    this.clock = g.input("clock", [2], "u32");
  }

  /** The base weight `name` under the open scopes. Vectors are always f32. */
  weight(name: string, shape: Shape): Tensor {
    if (this.full) return this.g.trained(name, shape);
    const path = this.g.path === "" ? name : `${this.g.path}.${name}`;
    return this.g.frozen(name, shape, shape.length === 1 ? "f32" : this.dtypeOf(path));
  }

  /** How rows of this many numbers are stored between two ops of the forward pass. */
  stored(width: number): Storage {
    return storedAs(this.compute, width);
  }

  /** A number for the next random stream, the same in every recording of the same network. */
  nextStream(): number {
    return this.#streams++;
  }
}

/** alpha / rank, or alpha / sqrt(rank) for rank-stabilised adapters. */
export const loraScale = (lora: Pick<Lora, "rank" | "alpha" | "rslora">): number =>
  lora.alpha / (lora.rslora ? Math.sqrt(lora.rank) : lora.rank);
