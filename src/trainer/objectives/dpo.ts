import type { LossName } from "../../../kernels/preference_loss/losses.ts";
import { measured, preferenceLoss } from "../../../kernels/preference_loss/preference_loss.ts";
import { segmentSum } from "../../../kernels/segment_sum/segment_sum.ts";
import type { Model } from "../../architectures/model.ts";
import { PackedBatch, type PackedSize, type TokenRow } from "../../architectures/packed.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { Net } from "../../nn/net.ts";
import type { Inputs, Objective } from "./objective.ts";

export type ReferencePolicy =
  /** The same weights without the adapter, before each micro-batch. */
  | "adapter-off"
  /** The same, once before training. */
  | "cached"
  /** The adapter that training begins with, once before training. */
  | "sft"
  /** None: both log-probabilities are 0. */
  | "free";

export interface DpoOptions {
  readonly loss: LossName;
  readonly beta: number;
  readonly smoothing: number;
  readonly reference: ReferencePolicy;
}

/**
 * Direct preference optimisation (Rafailov et al. 2023) and the losses that came after it: each row is a
 * pair of answers, and a step's loss the mean over its pairs.
 */
export function dpo({ loss: name, beta, smoothing, reference }: DpoOptions): Objective {
  return {
    kind: "dpo",
    logged: measured.slice(1),
    likelihood: false,
    weight: () => 1,
    record(model, net, { size }, trains) {
      const { g } = net, answers = new Answers(model, net, size, trains), P = answers.pairs;
      const logps = g.input("reference", [2 * P], "f32");
      const weights = g.input("pair weights", [P], "f32");
      const { nll, bounds } = answers;
      const { loss, measures } = preferenceLoss(g, { nll, logps, bounds, weights }, {
        loss: name,
        beta,
        smoothing,
      });
      return {
        loss,
        sums: measures,
        fill(inputs, rows, share, given) {
          answers.fill(inputs, rows);
          const compared = new Float32Array(2 * P);
          if (given) compared.set(given.subarray(0, 2 * rows.length));
          inputs.write(logps, compared);
          inputs.write(weights, new Float32Array(P).fill(share, 0, rows.length));
        },
      };
    },
    reference: reference === "free" ? undefined : {
      adapter: reference === "sft",
      once: reference !== "adapter-off",
      record: (model, net, { size }) => new Answers(model, net, size, false),
    },
  };
}

/** The log-probabilities of the answers of a micro-batch of pairs. */
class Answers {
  /** Most pairs. */
  readonly pairs: number;
  /** f32[2P, 1], minus log-probability: chosen, rejected, chosen, … */
  readonly nll: Tensor;
  /** u32[2P + 1]: where the targets of each answer begin. */
  readonly bounds: Tensor;
  readonly #owner: Tensor;
  readonly #batch: PackedBatch;

  constructor(model: Model, net: Net, size: PackedSize, gradient: boolean) {
    const { g } = net, batch = new PackedBatch(g, model.sizes, size);
    this.#batch = batch;
    this.pairs = size.rows ?? 1;
    this.bounds = g.input("answers", [2 * this.pairs + 1], "u32");
    this.#owner = g.input("answer of target", [size.targets], "u32");
    const { nll } = batch.loss(model, net, batch.hidden(model, net), gradient);
    this.nll = segmentSum(g, nll, this.bounds, this.#owner);
  }

  fill(inputs: Inputs, rows: readonly TokenRow[]): void {
    const { pairs } = this, { targets: S } = this.#batch.size;
    if (rows.length > pairs) throw new Error(`${rows.length} pairs in a batch for ${pairs}`);
    this.#batch.fill(inputs, rows, 1);
    const bounds = new Uint32Array(2 * pairs + 1), owner = new Uint32Array(S).fill(0xffffffff);
    let s = 0;
    for (let i = 0; i < 2 * pairs; i++) {
      bounds[i] = s;
      const row = rows[i >> 1];
      if (row) s += targetsOf(row, i % 2 === 1);
      owner.fill(i, bounds[i], s);
    }
    bounds[2 * pairs] = s;
    inputs.write(this.bounds, bounds);
    inputs.write(this.#owner, owner);
  }
}

/** Tokens of one of the two answers that are predicted. */
function targetsOf({ labels, pair }: TokenRow, rejected: boolean): number {
  const { rejected: middle } = pair!;
  let n = 0;
  for (let t = rejected ? middle : 1; t < (rejected ? labels.length : middle); t++) {
    if (labels[t] !== -100) n++;
  }
  return n;
}
