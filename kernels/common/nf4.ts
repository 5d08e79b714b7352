import { BLOCK, dequantise, type Nf4, quantise } from "../../src/formats/nf4.ts";
import { bytesOf, count, type Shape } from "../../src/graph/tensor.ts";

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
 */
export function layNf4({ codes, scales }: Nf4, shape: Shape): Uint32Array {
  const out = new Uint32Array(bytesOf({ shape, dtype: "nf4" }) / 4);
  const words = Math.ceil(count(shape) / 8);
  const bits = new Uint32Array(scales.buffer, scales.byteOffset, scales.length);
  if (tiled(shape)) {
    layNf4Codes(codes, shape[1]!, out);
    layNf4Scales(scales, shape[1]!, out.subarray(words));
  } else {
    new Uint8Array(out.buffer).set(codes);
    out.set(bits, words);
  }
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

/** The scales of some rows, a multiple of 4, tiled, as the bits of f32. */
export function layNf4Scales(
  scales: Float32Array,
  columns: number,
  out = new Uint32Array(scales.length),
): Uint32Array {
  const bits = new Uint32Array(scales.buffer, scales.byteOffset, scales.length);
  return interleave(bits, columns / BLOCK, out);
}

/** [rows / 4][4][width] to [rows / 4][width][4]. */
function interleave(from: Uint32Array, width: number, to: Uint32Array): Uint32Array {
  for (let base = 0; base < from.length; base += 4 * width) {
    for (let x = 0; x < width; x++) {
      for (let row = 0; row < 4; row++) to[base + 4 * x + row] = from[base + row * width + x]!;
    }
  }
  return to;
}

/** Numbers rounded to what NF4 can hold, in float64: what a kernel's reference is given. */
export function roundToNf4(numbers: ArrayLike<number>): Float64Array {
  return Float64Array.from(dequantise(quantise(Float32Array.from(numbers)), numbers.length));
}
