import { Exit, Fail } from "../base/fail.ts";
import { ggufFamily } from "./gguf_families.ts";
import { openGgufModel } from "./gguf_folder.ts";
import { rowRanges, type Weights } from "./weights.ts";

/** How far a written file is from its source. */
export interface Drift {
  /** Relative L2 distance of the tensor that differs most. */
  readonly worst: number;
  readonly tensor: string;
  /** What the type explains. */
  readonly bound: number;
}

/** An error relative to the L2 norm, where each of `count` values is off by up to `step` / 2. */
const halfSteps = (count: number, step: number) => Math.sqrt(count) * step / 2;

/**
 * The error that rounding explains, by type: as a share of a tensor's L2 norm, and for each value.
 *
 * Floats: half a unit in the last place, and half the smallest f16. Blocks: values are off by half a
 * step and the scale by half a unit of its f16, which the codes multiply. A step is max / 127, 8 or 16
 * and the block's norm at least max; with a minimum it is (max − min) / 31 and the norm at least
 * (max − min) / √2. In K types the sub-blocks' own scales and minima are off by half a step of 63 or
 * 128 too, in all 256 values. Only blocks of one outlier come near.
 */
const bounds: Readonly<Record<string, { readonly share: number; readonly each: number }>> = {
  f32: { share: 0, each: 0 },
  // Gains kept as gain - 1 in a checkpoint: the sum is rounded.
  "f32, shifted": { share: 2 ** -24, each: 2 ** -23 },
  f16: { share: 2 ** -11, each: 2 ** -25 },
  bf16: { share: 2 ** -8, each: 0 },
  q8_0: { share: halfSteps(32, 1 / 127) + 2 ** -11, each: 127 * 2 ** -25 },
  q4_0: { share: halfSteps(32, 1 / 8) + 2 ** -11, each: 8 * 2 ** -25 },
  q4_1: { share: halfSteps(32, Math.SQRT2 / 15) + 2 ** -10, each: 16 * 2 ** -25 },
  q5_0: { share: halfSteps(32, 1 / 16) + 2 ** -11, each: 16 * 2 ** -25 },
  q5_1: { share: halfSteps(32, Math.SQRT2 / 31) + 2 ** -10, each: 32 * 2 ** -25 },
  q4_K: {
    share: halfSteps(32, Math.SQRT2 / 15) + halfSteps(256, Math.SQRT2 / 63) +
      halfSteps(256, 1 / 63),
    each: 63 * 16 * 2 ** -25,
  },
  q5_K: {
    share: halfSteps(32, Math.SQRT2 / 31) + halfSteps(256, Math.SQRT2 / 63) +
      halfSteps(256, 1 / 63),
    each: 63 * 32 * 2 ** -25,
  },
  q6_K: { share: halfSteps(16, 1 / 32) + halfSteps(256, 1 / 128), each: 128 * 32 * 2 ** -25 },
};

/** Columns that an importance matrix finds light may be clipped, for the sake of the others. */
const WEIGHTED = 1.5;

/**
 * Reads a GGUF file back as a model and compares every tensor with the weights it was made from.
 *
 * @param weighted whether it was quantised by an importance matrix
 * @throws Fail with exit 9 when one differs by more than its type explains or is missing
 */
export function checkDrift(path: string, weights: Weights, weighted = false): Drift {
  using model = openGgufModel(path);
  const family = ggufFamily(weights.config);
  let drift: Drift = { worst: 0, tensor: "", bound: 0 };
  for (const [name, { shape, dtype }] of weights.tensors) {
    // Buffers of old checkpoints are not written.
    if (!model.tensors.has(name) && !name.endsWith(".weight") && !name.endsWith(".bias")) continue;
    const type = model.types.get(name) ?? "f32";
    const { share, each } = type === "f32, shifted" && dtype === "F16"
      ? { share: 2 ** -11, each: 2 ** -10 } // added in the checkpoint's own type
      : bounds[type]!;
    let [difference, square, count] = [0, 0, 0];
    const before = family.rowsBefore?.(name, weights.config) ?? 0;
    for (const [from, to] of rowRanges([shape[0]! - before, ...shape.slice(1)])) {
      const ours = weights.readF32(name, from + before, to + before);
      const theirs = model.readF32(name, from, to);
      count += ours.length;
      for (let i = 0; i < ours.length; i++) {
        difference += (ours[i]! - theirs[i]!) ** 2;
        square += ours[i]! ** 2;
      }
    }
    const norm = Math.sqrt(square);
    const error = difference === 0 ? 0 : Math.sqrt(difference) / norm;
    const rounding = norm === 0 ? share : share + Math.sqrt(count) * each / norm;
    const bound = weighted ? WEIGHTED * rounding : rounding;
    if (!(error <= bound)) {
      throw new Fail(`${path}: ${name} differs from the source by ${error.toExponential(1)}`, {
        why: `rounding to ${type} explains at most ${bound.toExponential(1)} (relative L2)`,
        fix: "export again; if it stays so, the disk or the memory is faulty",
        exit: Exit.gate,
      });
    }
    if (error >= drift.worst) drift = { worst: error, tensor: name, bound };
  }
  return drift;
}
