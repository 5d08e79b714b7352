/**
 * 8-bit weights as bitsandbytes' LLM.int8() stores them (Dettmers et al. 2022, "LLM.int8()"): a matrix
 * has one signed byte a number, and for each row its largest magnitude, which stands for 127.
 *
 * Only the storage is that of LLM.int8(): activations stay in float32 and no column is an outlier, so
 * products come out closer to those of the weights as they were.
 */
import { allFinite, fromF16, toF16 } from "../base/bits.ts";
import { Exit, Fail } from "../base/fail.ts";

/** A matrix in 8 bits. */
export interface Int8 {
  /** Row-major, from -127 to 127. */
  readonly codes: Int8Array;
  /** The largest magnitude of each row; `SCB` in files. */
  readonly absmax: Float32Array;
}

/**
 * Quantises whole rows: 127 / absmax, product, nearest integer (half to even), each rounded to f32. A row
 * of zeros gets absmax 0.
 * @param name of the tensor, for the error
 * @throws Fail (data) when a number is NaN or infinite
 */
export function quantiseRows(x: Float32Array, width: number, name = "a tensor"): Int8 {
  if (!allFinite(x)) {
    throw notFinite(name, x.find((v) => !Number.isFinite(v))!);
  }
  const codes = new Int8Array(x.length), absmax = new Float32Array(x.length / width);
  for (let row = 0, from = 0; from < x.length; row++, from += width) {
    let most = 0;
    for (let i = from; i < from + width; i++) most = Math.max(most, Math.abs(x[i]!));
    absmax[row] = most;
    const factor = Math.min(Math.fround(127 / most), LARGEST); // a row of zeros: 0 · LARGEST is 0
    for (let i = from; i < from + width; i++) {
      // Adding and taking off 1.5 · 2²³ rounds an f32 to the nearest integer, half to even.
      codes[i] = Math.fround(Math.fround(x[i]! * factor) + ROUND) - ROUND;
    }
  }
  return { codes, absmax };
}

const LARGEST = Math.fround(3.4028234663852886e38);
const ROUND = 1.5 * 2 ** 23;

function notFinite(name: string, found: number): Fail {
  return new Fail(`${name} holds ${found}, which has no place in int8`, {
    why: "a row of weights is scaled by its largest magnitude, which must be a finite number",
    fix: "fetch the model again; if its maker's file is so, load it with --quant none",
    exit: Exit.data,
  });
}

/**
 * The numbers that bitsandbytes quantises: it takes weights to f16 first, whatever they were.
 * @throws Fail (data) for a number that f16 cannot hold
 */
export function throughF16(x: Float32Array, name = "a tensor"): Float32Array {
  const rounded = fromF16(toF16(x));
  if (allFinite(x) && !allFinite(rounded)) {
    throw new Fail(`${name} holds a number beyond 65504, which has no place in int8`, {
      why: "bitsandbytes' 8 bits are made from f16",
      fix: "use --quant nf4, which has room for it",
      exit: Exit.data,
    });
  }
  return rounded;
}

/** What one step of each row's codes is worth: absmax / 127, rounded to f32. */
export const rowScales = (absmax: Float32Array): Float32Array => absmax.map((v) => v / 127);

/** `rows` rows of a quantised matrix, the first ones unless told: code · (absmax / 127), rounded to f32. */
export function dequantiseRows(
  { codes, absmax }: Int8,
  width: number,
  rows = absmax.length,
  from = 0,
): Float32Array {
  const out = new Float32Array(rows * width), scales = rowScales(absmax);
  for (let row = 0, at = from * width, to = 0; row < rows; row++) {
    const scale = scales[from + row]!;
    for (let i = 0; i < width; i++) out[to++] = codes[at++]! * scale;
  }
  return out;
}
