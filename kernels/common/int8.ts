import { dequantiseRows, type Int8, quantiseRows, rowScales } from "../../src/formats/int8.ts";
import { bytesOf, count, type Shape } from "../../src/graph/tensor.ts";

/**
 * A matrix in 8 bits as kernels read it, in whole u32 words: its codes in row-major order, four to a word,
 * then an f32 for each row, what a step of its codes is worth.
 */
export function layInt8({ codes, absmax }: Int8, shape: Shape): Uint32Array {
  const out = new Uint32Array(bytesOf({ shape, dtype: "int8" }) / 4);
  new Int8Array(out.buffer).set(codes);
  out.set(new Uint32Array(rowScales(absmax).buffer), Math.ceil(count(shape) / 4));
  return out;
}

/** Numbers rounded to what int8 can hold, in float64: what a kernel's reference is given. */
export function roundToInt8(numbers: ArrayLike<number>, shape: Shape): Float64Array {
  const width = count(shape) / shape[0]!;
  return Float64Array.from(dequantiseRows(quantiseRows(Float32Array.from(numbers), width), width));
}
