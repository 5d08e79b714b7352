/** Bytes to float32 and back. Both work on whole blocks and are bit-exact with ggml on x86-64. */
export interface BlockCodec {
  /**
   * `values` (a multiple of the block) into `out`, which must hold them exactly.
   * @param importance weight of each column, where there is an importance matrix; values are then whole
   *   rows of so many columns. Types that ggml does not weigh ignore it.
   */
  quantize(values: Float32Array, out: Uint8Array, importance?: Float32Array): void;
  dequantize(bytes: Uint8Array, out: Float32Array): void;
}

/*
 * Bit-exact means: float32 after every operation, sums from the first value to the last, no fused
 * multiply-add. A sum, product, quotient or root of two float32 computed in float64 and rounded once
 * by Math.fround is exactly that of float32 arithmetic (Figueroa 1995: 53 >= 2 * 24 + 2).
 */

/** 1.5 * 2^23: a float32 added to it keeps no fraction, and the rounding is half to even. */
export const roundingShift = 12582912;

const shifted = new Float32Array(1);
const shiftedBits = new Uint32Array(shifted.buffer);

/** Nearest integer, half to even, from the bits of the shifted value: 0 for NaN, as ggml has it. */
export function nearest(x: number): number {
  shifted[0] = x + roundingShift;
  return (shiftedBits[0]! & 0x7f_ffff) - 0x40_0000;
}

/** Σ x² over values [from, to), each sum and product rounded. */
export function squareSum(x: Float32Array, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i++) sum = Math.fround(sum + Math.fround(x[i]! * x[i]!));
  return sum;
}
