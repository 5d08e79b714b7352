import {
  BLOCK,
  dequantise,
  dynamicMap,
  nest,
  type NestedScales,
  type Nf4,
  quantise,
  unnest,
} from "../../src/formats/nf4.ts";
import { bytesOf, count, type DType, type Shape, type Spec } from "../../src/graph/tensor.ts";

/** Whether the numbers are codes of 4 bits. */
export const isNf4 = (dtype: DType): dtype is "nf4" | "nf4_double" =>
  dtype === "nf4" || dtype === "nf4_double";

/**
 * Whether a matrix [rows, columns] lies in tiles on the device: then a kernel finds the codes of 4 rows
 * and 8 columns side by side, and the 4 scales of such rows, whichever way it goes through the matrix.
 */
export const tiled = ([rows, columns, ...rest]: Shape): boolean =>
  rest.length === 0 && rows! % 4 === 0 && columns! % BLOCK === 0;

/**
 * A quantised matrix as kernels read it, in whole u32 words.
 *
 * Tiled: first the codes, [rows / 4][columns / 8] of four words, one a row, each with the codes of 8
 * columns; then the f32 scales, [rows / 4][columns / 64] of four, one a row. Otherwise the codes in
 * row-major order, then the scales of blocks of 64 in that order. Codes stand in a word as in a file:
 * four bytes, in each the first code in the high half.
 *
 * With `nested` (nf4_double) the codes are followed by the map of 256 f32, the f32 offset, three words
 * of zeros, the f32 scales of 256 scales each, and the scales' codes of 8 bits, four to a word from the
 * lowest byte up: [rows / 4][columns / 64] words, a byte a row, or in row-major order.
 */
export function layNf4({ codes, scales }: Nf4, shape: Shape, nested?: NestedScales): Uint32Array {
  const dtype = nested ? "nf4_double" : "nf4", out = new Uint32Array(bytesOf({ shape, dtype }) / 4);
  if (tiled(shape)) layNf4Codes(codes, shape[1]!, out);
  else new Uint8Array(out.buffer).set(codes);
  out.set(layNf4Scales(scales, shape, nested), Math.ceil(count(shape) / 8));
  return out;
}

/** The codes of some rows, a multiple of 4, tiled: rows follow rows, so a matrix can come in pieces. */
export function layNf4Codes(
  codes: Uint8Array,
  columns: number,
  out = new Uint32Array(codes.length / 4),
): Uint32Array {
  const words = new Uint32Array(codes.slice().buffer);
  return interleave(words, columns / 8, out);
}

/** What follows the codes of a whole matrix: `scales`, or what they are made of. */
export function layNf4Scales(
  scales: Float32Array,
  shape: Shape,
  nested?: NestedScales,
): Uint32Array {
  const across = tiled(shape) ? shape[1]! / BLOCK : 0;
  if (!nested) {
    const bits = new Uint32Array(scales.buffer, scales.byteOffset, scales.length);
    return across ? interleave(bits, across, new Uint32Array(bits.length)) : bits;
  }
  const { codes, scales: outer, offset, map = dynamicMap } = nested;
  const all = bytesOf({ shape, dtype: "nf4_double" }) / 4 - Math.ceil(count(shape) / 8);
  const words = new Uint32Array(all), floats = new Float32Array(words.buffer);
  floats.set(map);
  floats[256] = offset;
  floats.set(outer, 260);
  const bytes = new Uint8Array(words.buffer, 4 * (260 + outer.length));
  if (across) interleave(codes, across, bytes);
  else bytes.set(codes);
  return words;
}

/** [rows / 4][4][width] to [rows / 4][width][4]. */
function interleave<A extends Uint32Array | Uint8Array>(from: A, width: number, to: A): A {
  for (let base = 0; base < from.length; base += 4 * width) {
    for (let x = 0; x < width; x++) {
      for (let row = 0; row < 4; row++) to[base + 4 * x + row] = from[base + row * width + x]!;
    }
  }
  return to;
}

const words = new WeakMap<Float64Array, Uint32Array>();

/** Numbers rounded to what NF4 can hold, in float64: what a kernel's reference is given. */
export function roundToNf4(numbers: ArrayLike<number>, { shape, dtype }: Spec): Float64Array {
  const q = quantise(Float32Array.from(numbers));
  const nested = dtype === "nf4_double" ? nest(q.scales) : undefined;
  const kept = { ...q, scales: nested ? unnest(nested) : q.scales };
  const rounded = Float64Array.from(dequantise(kept, numbers.length));
  words.set(rounded, layNf4(kept, shape, nested));
  return rounded;
}

/**
 * What a device holds for numbers that `roundToNf4` gave. Kept from then, for rounded numbers may round
 * to others: the mean of their scales is not what it was.
 */
export function nf4Words(rounded: Float64Array): Uint32Array {
  const found = words.get(rounded);
  if (!found) throw new Error("these numbers did not come from roundToNf4");
  return found;
}
