import { Exit, Fail } from "../base/fail.ts";
import { openGgufModel } from "./gguf_folder.ts";
import type { GgufQuant } from "./gguf_model.ts";
import { rowRanges, type Weights } from "./weights.ts";

/** How far a written file is from its source. */
export interface Drift {
  /** Relative L2 distance of the tensor that differs most. */
  readonly worst: number;
  readonly tensor: string;
  /** What the type explains. */
  readonly bound: number;
}

/**
 * The error that rounding explains, as a share of a tensor's L2 norm and for each value. The floats:
 * half a unit in the last place, and half the smallest f16 (f16 also serves where q8_0 cannot). q8_0:
 * each of 32 values is off by half a step of max/127 and the block's norm is at least max, so
 * sqrt(32)/254; its scale is an f16, which 127 steps multiply.
 */
const bounds: Readonly<Record<GgufQuant, { readonly share: number; readonly each: number }>> = {
  f32: { share: 0, each: 0 },
  f16: { share: 2 ** -11, each: 2 ** -25 },
  bf16: { share: 2 ** -8, each: 0 },
  q8_0: { share: Math.sqrt(32) / 254 + 2 ** -11, each: 127 * 2 ** -25 },
};

/**
 * Reads a GGUF file back as a model and compares every tensor with the weights it was made from.
 *
 * @throws Fail with exit 9 when one differs by more than its type explains or is missing
 */
export function checkDrift(path: string, weights: Weights, quant: GgufQuant): Drift {
  using model = openGgufModel(path);
  const { share, each } = bounds[quant];
  let drift: Drift = { worst: 0, tensor: "", bound: share };
  for (const [name, { shape }] of weights.tensors) {
    // Buffers of old checkpoints are not written.
    if (!model.tensors.has(name) && !name.endsWith(".weight") && !name.endsWith(".bias")) continue;
    let [difference, square, count] = [0, 0, 0];
    for (const [from, to] of rowRanges(shape)) {
      const [ours, theirs] = [weights.readF32(name, from, to), model.readF32(name, from, to)];
      count += ours.length;
      for (let i = 0; i < ours.length; i++) {
        difference += (ours[i]! - theirs[i]!) ** 2;
        square += ours[i]! ** 2;
      }
    }
    const norm = Math.sqrt(square);
    const error = difference === 0 ? 0 : Math.sqrt(difference) / norm;
    const bound = norm === 0 ? share : share + Math.sqrt(count) * each / norm;
    if (!(error <= bound)) {
      throw new Fail(`${path}: ${name} differs from the source by ${error.toExponential(1)}`, {
        why: `rounding to ${quant} explains at most ${bound.toExponential(1)} (relative L2)`,
        fix: "export again; if it stays so, the disk or the memory is faulty",
        exit: Exit.gate,
      });
    }
    if (error >= drift.worst) drift = { worst: error, tensor: name, bound };
  }
  return drift;
}
