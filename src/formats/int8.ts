/**
 * 8-bit weights as bitsandbytes' LLM.int8() stores them (Dettmers et al. 2022, "LLM.int8()"): a matrix
 * has one signed byte a number, and for each row its largest magnitude, which stands for 127.
 *
 * Only the storage is that of LLM.int8(): activations stay in float32 and no column is an outlier, so
 * products come out closer to those of the weights as they were.
 */
import { allFinite } from "../base/bits.ts";
import { Exit, Fail } from "../base/fail.ts";
import type { FloatType } from "./encode.ts";
import { encoder, notFinite } from "./nf4.ts";

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
export function quantiseRows(x: Float32Array, width: number, name?: string): Int8 {
  const bytes = new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
  return quantise(bytes, "F32", width, false, name);
}

/**
 * The same from the bytes of a file, as bitsandbytes does it: it takes weights to f16 first, whatever they
 * were.
 * @throws Fail (data) also for a number that f16 cannot hold
 */
export const quantiseStoredRows = (
  bytes: Uint8Array,
  type: FloatType,
  width: number,
  name?: string,
): Int8 => quantise(bytes, type, width, true, name);

function quantise(
  bytes: Uint8Array,
  type: FloatType,
  width: number,
  throughF16: boolean,
  name = "a tensor",
): Int8 {
  const n = bytes.length / (type === "F32" ? 4 : 2);
  const codes = new Int8Array(n), absmax = new Float32Array(n / width);
  encoder.int8(bytes, type, { width, throughF16 }, codes, absmax);
  if (allFinite(absmax)) return { codes, absmax };
  const found = notFinite(bytes, type);
  throw found !== undefined
    ? new Fail(`${name} holds ${found}, which has no place in int8`, {
      why: "a row of weights is scaled by its largest magnitude, which must be a finite number",
      fix: "fetch the model again; if its maker's file is so, load it with --quant none",
      exit: Exit.data,
    })
    : new Fail(`${name} holds a number beyond 65504, which has no place in int8`, {
      why: "bitsandbytes' 8 bits are made from f16",
      fix: "use --quant nf4, which has room for it",
      exit: Exit.data,
    });
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
