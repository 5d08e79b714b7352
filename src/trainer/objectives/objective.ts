import type { Model } from "../../architectures/model.ts";
import type { TokenRow } from "../../architectures/packed.ts";
import type { Runner } from "../../graph/runner.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { Net } from "../../nn/net.ts";
import type { Recipe } from "../program.ts";

/** Where inputs are written: a runner, or whatever stands for one. */
export type Inputs = Pick<Runner, "reads" | "write">;

/** The forward pass of one micro-batch, recorded. */
export interface Forward {
  /** f32[1]: what gradients are taken of. */
  readonly loss: Tensor;
  /** f32[1 + logged]: the loss, then what is logged beside it; weighted so that micro-batches add up. */
  readonly sums: Tensor;
  /**
   * Writes rows into the inputs; `share` is one over what the rows of the whole step weigh.
   * @param logps of the rows' answers by the reference; zeros where it is absent
   * @param all the rows of the whole step; those of this micro-batch where absent
   */
  fill(
    inputs: Inputs,
    rows: readonly TokenRow[],
    share: number,
    logps?: Float32Array,
    all?: readonly TokenRow[],
  ): void;
}

/** Log-probabilities of answers, recorded: what an objective compares the model with. */
export interface Compared {
  /** f32[n, 1]: minus the log-probability of each answer, row by row. */
  readonly nll: Tensor;
  fill(inputs: Inputs, rows: readonly TokenRow[]): void;
}

/** What a run minimises. Everything else, from batches to reports, is the same for all of them. */
export interface Objective {
  /** As in `whet train KIND`. */
  readonly kind: string;
  /** What is measured beside the loss, in the order of `sums`; undefined for a number that is not told. */
  readonly logged: readonly (string | undefined)[];
  /** Whether the loss is a mean negative log-likelihood, so that its exponential is a perplexity. */
  readonly likelihood: boolean;
  /** Mean over what: the loss of a step is the mean by these weights. */
  weight(row: TokenRow): number;
  /** The rows of a step are compared with each other: they must stay in one micro-batch. */
  readonly together?: boolean;
  /** Records one micro-batch forward, with what its gradient will need where it trains. */
  record(model: Model, net: Net, recipe: Recipe, trains: boolean): Forward;
  /** What the model is compared with, where that is computed for all rows before training. */
  readonly reference?: {
    /** With the adapter as it is at the start, or without. */
    readonly adapter: boolean;
    record(model: Model, net: Net, recipe: Recipe): Compared;
  };
}
