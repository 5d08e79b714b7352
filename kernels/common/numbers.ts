import type { Tensor } from "../../src/graph/tensor.ts";

const made = new Map<string, Tensor>();

/**
 * A small constant for a kernel to read: sizes and factors that would otherwise be built into its code,
 * one pipeline for each. Equal numbers give the same tensor, so that a device holds them once.
 * @param values u32 words; `floatBits` turns an f32 into one
 */
export function numbers(...values: number[]): Tensor {
  const key = values.join(), known = made.get(key);
  if (known) return known;
  const tensor: Tensor = {
    id: -1,
    name: `numbers ${key}`,
    shape: [values.length],
    dtype: "u32",
    home: "constant",
    needsGrad: false,
    data: Uint32Array.from(values),
  };
  made.set(key, tensor);
  return tensor;
}

/** The bits of an f32, for a struct member of that type among u32 words. */
export const floatBits = (value: number): number =>
  new Uint32Array(Float32Array.of(value).buffer)[0]!;
