import type { Dtype } from "../base/bits.ts";
import { Exit, Fail } from "../base/fail.ts";
import { type Adapter, checkFit, scaling } from "../formats/peft.ts";

/** The weights of a model as exports read them: names, shapes, and rows on demand. */
export interface Weights {
  /** config.json. */
  readonly config: Record<string, unknown>;
  /** Checkpoint names; row-major shapes. */
  readonly tensors: ReadonlyMap<
    string,
    { readonly dtype: Dtype; readonly shape: readonly number[] }
  >;
  /** Rows [from, to) of a tensor (its first dimension) as float32; all by default. */
  readF32(name: string, from?: number, to?: number): Float32Array;
}

/** Values of a tensor that are in memory at once while it is converted. */
const chunkValues = 4 << 20;

/** Row ranges of a tensor, each of some 16 MiB as float32 and a multiple of `step` rows. */
export function* rowRanges(
  shape: readonly number[],
  step = 1,
): Generator<readonly [from: number, to: number]> {
  const rows = shape[0] ?? 1;
  const width = shape.slice(1).reduce((product, size) => product * size, 1);
  const size = Math.max(step, Math.floor(chunkValues / width / step) * step);
  for (let from = 0; from < rows; from += size) yield [from, Math.min(rows, from + size)];
}

/** The largest magnitude that still rounds to a finite value. */
const largest: Readonly<Record<string, number>> = {
  f16: 65519.99,
  bf16: 3.3961e38,
  q8_0: 127 * 65519.99,
  q4_0: 8 * 65519.99,
  q4_1: 65519.99,
  q5_0: 16 * 65519.99,
  q5_1: 65519.99,
  // Scales and minima of sub-blocks are 6- or 8-bit multiples of an f16; the search may stretch them.
  q4_K: 32 * 65519.99,
  q5_K: 32 * 65519.99,
  q6_K: 32 * 64 * 65519.99,
};

/** @throws Fail when a value is NaN, infinite, or too large for the type it is written as */
export function checkRange(name: string, values: Float32Array, type: string): void {
  const limit = largest[type] ?? Number.MAX_VALUE;
  let at = 0;
  while (at < values.length && Math.abs(values[at]!) <= limit) at++;
  if (at === values.length) return;
  throw new Fail(`${name} holds ${values[at]}, which ${type} cannot hold`, {
    why: Number.isFinite(values[at])
      ? `the largest value of ${type} is about ${limit.toPrecision(3)}`
      : "the weights are damaged, or training diverged",
    fix: Number.isFinite(values[at]) ? "export as bf16 or f32" : "use an earlier checkpoint",
    exit: Exit.data,
  });
}

/**
 * The model with a LoRA adapter merged in, computed as rows are read: W + scaling · B · A (Hu et al.
 * 2021), with DoRA each row stretched to its magnitude (Liu et al. 2024). The product is summed in float64,
 * the sum rounded to float32 once.
 *
 * @throws Fail when the adapter does not fit the model
 */
export function mergeAdapter(model: Weights, adapter: Adapter): Weights {
  checkFit(adapter, model.tensors);
  return {
    config: model.config,
    tensors: model.tensors,
    readF32(name, from = 0, to = model.tensors.get(name)?.shape[0]) {
      const values = model.readF32(name, from, to);
      const module = name.replace(/\.weight$/, "");
      const a = adapter.tensors.get(`${module}.lora_A.weight`);
      const b = adapter.tensors.get(`${module}.lora_B.weight`);
      const magnitudes = adapter.tensors.get(`${module}.lora_magnitude_vector`)?.data;
      if (a === undefined || b === undefined || module === name) return values;
      const [rank, width] = a.shape as [number, number];
      const scale = scaling(adapter.config, module);
      const merged = new Float32Array(values.length);
      const row = new Float64Array(width);
      for (let start = 0, out = from; start < values.length; start += width, out++) {
        row.set(values.subarray(start, start + width));
        for (let k = 0; k < rank; k++) {
          const factor = scale * b.data[out * rank + k]!;
          const first = k * width;
          for (let i = 0; i < width; i++) row[i]! += factor * a.data[first + i]!;
        }
        if (magnitudes) {
          const length = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0));
          const stretch = length === 0 ? 0 : magnitudes[out]! / length;
          for (let i = 0; i < width; i++) row[i]! *= stretch;
        }
        merged.set(row, start);
      }
      return merged;
    },
  };
}

/** Whether the adapter changes this tensor. */
export const isAdapted = (adapter: Adapter, name: string): boolean =>
  name.endsWith(".weight") &&
  adapter.tensors.has(`${name.slice(0, -".weight".length)}.lora_A.weight`);
