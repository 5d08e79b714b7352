/**
 * ggml's K formats: 256 values a block, in sub-blocks of 16 or 32 that each have a small integer
 * scale (and minimum) under the block's f16 scale. The scale of a sub-block is searched: the one of
 * some twenty candidates with the least weighted squared error (ggml-quants.c, *_ref functions).
 */
import { f16ToF32, f32ToF16 } from "../base/bits.ts";
import { type BlockCodec, nearest, roundingShift } from "./gguf_codec.ts";

const round = Math.fround;
const blockValues = 256;
/** Below this ggml takes a block for zero. */
const negligible = round(1e-15);

/** One sub-block of 32, and what is found for it. Float64 holds float32 values: no conversions. */
const x = new Float64Array(32);
const weights = new Float64Array(32);
/** x - min for the current min. */
const above = new Float64Array(32);
const codes = new Float64Array(32);
const found = { scale: 0, min: 0 };

function integersAt(inverse: number, top: number): void {
  for (let i = 0; i < 32; i++) {
    const code = round(round(inverse * above[i]!) + roundingShift) - roundingShift;
    // A NaN or infinity, from ranges among the denormals, is code 0.
    codes[i] = code > top ? (code === Infinity ? 0 : top) : code > 0 ? code : 0;
  }
}

/** Σ w · (scale · code + min − x)², or any value that is not below `limit` once it is reached. */
function squaredError(scale: number, min: number, limit: number): number {
  let error = 0;
  // Errors only grow, so a candidate that is already worse needs no full sum.
  for (let i = 0; i < 32 && !(error >= limit); i++) {
    const off = round(round(round(scale * codes[i]!) + min) - x[i]!);
    error = round(error + round(weights[i]! * round(off * off)));
  }
  return error;
}

/**
 * Scale and minimum (<= 0) for the 32 values of `x` with codes 0..top, by least squares around
 * `candidates + 1` guesses of the scale (ggml make_qkx2_quants). The codes of the result are those
 * of the inverse scale and minimum given to `integersAt` when it was found; they are left in `out`.
 */
function searchScale(
  top: number,
  from: number,
  step: number,
  candidates: number,
  out: Uint8Array,
  at: number,
): void {
  let min = x[0]!;
  let max = min;
  let sumW = weights[0]!;
  let sumX = round(sumW * x[0]!);
  for (let i = 1; i < 32; i++) {
    const value = x[i]!;
    const weight = weights[i]!;
    if (value < min) min = value;
    if (value > max) max = value;
    sumW = round(sumW + weight);
    sumX = round(sumX + round(weight * value));
  }
  if (min > 0) min = 0;
  found.scale = 0;
  found.min = min;
  if (max === min) {
    out.fill(0, at, at + 32);
    return;
  }
  for (let i = 0; i < 32; i++) above[i] = round(x[i]! - min);
  let inverse = round(top / round(max - min));
  let scale = round(1 / inverse);
  integersAt(inverse, top);
  for (let i = 0; i < 32; i++) out[at + i] = codes[i]!;
  let best = squaredError(scale, min, Infinity);
  for (let candidate = 0; candidate <= candidates; candidate++) {
    inverse = round(round(round(from + round(step * candidate)) + top) / round(max - min));
    let [sumL, sumL2, sumXL] = [0, 0, 0];
    for (let i = 0; i < 32; i++) {
      const shifted = round(round(inverse * above[i]!) + roundingShift) - roundingShift;
      const code = shifted > top ? (shifted === Infinity ? 0 : top) : shifted > 0 ? shifted : 0;
      codes[i] = code;
      const weighted = round(weights[i]! * code);
      sumL = round(sumL + weighted);
      sumL2 = round(sumL2 + round(weighted * code));
      sumXL = round(sumXL + round(weighted * x[i]!));
    }
    const determinant = round(round(sumW * sumL2) - round(sumL * sumL));
    if (!(determinant > 0)) continue;
    let ofScale = round(round(round(sumW * sumXL) - round(sumX * sumL)) / determinant);
    let ofMin = round(round(round(sumL2 * sumX) - round(sumL * sumXL)) / determinant);
    if (ofMin > 0) {
      ofMin = 0;
      ofScale = round(sumXL / sumL2);
    }
    const error = squaredError(ofScale, ofMin, best);
    if (!(error < best)) continue;
    best = error;
    scale = ofScale;
    for (let i = 0; i < 32; i++) out[at + i] = codes[i]!;
    if (ofMin !== min) {
      min = ofMin;
      for (let i = 0; i < 32; i++) above[i] = round(x[i]! - min);
    }
  }
  found.scale = scale;
  found.min = min;
}

/** Where the 6-bit scale and minimum of sub-block j are in the 12 bytes at `at`. */
const scaleAt = (bytes: Uint8Array, at: number, j: number) =>
  j < 4 ? bytes[at + j]! & 63 : (bytes[at + j + 4]! & 15) | (bytes[at + j - 4]! >> 6) << 4;
const minAt = (bytes: Uint8Array, at: number, j: number) =>
  j < 4 ? bytes[at + j + 4]! & 63 : (bytes[at + j + 4]! >> 4) | (bytes[at + j]! >> 6) << 4;

function putScale(bytes: Uint8Array, at: number, j: number, scale: number, min: number): void {
  if (j < 4) {
    bytes[at + j] = scale;
    bytes[at + j + 4] = min;
  } else {
    bytes[at + j + 4] = (scale & 15) | (min & 15) << 4;
    bytes[at + j - 4]! |= scale >> 4 << 6;
    bytes[at + j]! |= min >> 4 << 6;
  }
}

interface MinFormat {
  /** Largest code. */
  readonly top: 15 | 31;
  /** The candidates for the scale: range / (top + from + step · i), i = 0..candidates. */
  readonly from: number;
  readonly step: number;
  readonly candidates: number;
}

/**
 * q4_K and q5_K: f16 d, f16 dmin, 12 bytes of 6-bit scales and minima for 8 sub-blocks of 32, for
 * q5_K 32 bytes of fifth bits (byte l: bit j is that of value l of sub-block j), 128 bytes of low
 * four bits (sub-blocks in pairs: low half, high half). x = d · scale · q − dmin · min.
 */
function minCodec({ top, from, step, candidates }: MinFormat): BlockCodec {
  const fifth = top === 31;
  const low = fifth ? 48 : 16;
  const size = low + 128;
  const codes = new Uint8Array(blockValues);
  const scales = new Float64Array(8);
  const mins = new Float64Array(8);
  return {
    quantize(values, out) {
      const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
      for (let start = 0, at = 0; start < values.length; start += blockValues, at += size) {
        let [largestScale, largestMin] = [0, 0];
        for (let j = 0; j < 8; j++) {
          let square = 0;
          for (let i = 0; i < 32; i++) {
            const value = values[start + 32 * j + i]!;
            x[i] = value;
            square = round(square + round(value * value));
          }
          const typical = round(Math.sqrt(square / 32));
          for (let i = 0; i < 32; i++) weights[i] = round(typical + Math.abs(x[i]!));
          searchScale(top, from, step, candidates, codes, 32 * j);
          scales[j] = found.scale;
          mins[j] = -found.min;
          if (scales[j]! > largestScale) largestScale = scales[j]!;
          if (mins[j]! > largestMin) largestMin = mins[j]!;
        }
        const perScale = largestScale > 0 ? round(63 / largestScale) : 0;
        const perMin = largestMin > 0 ? round(63 / largestMin) : 0;
        const d = f32ToF16(largestScale / 63);
        const dmin = f32ToF16(largestMin / 63);
        view.setUint16(at, d, true);
        view.setUint16(at + 2, dmin, true);
        out.fill(0, at + 4, at + low);
        for (let j = 0; j < 8; j++) {
          const scale = Math.min(63, nearest(round(perScale * scales[j]!)) & 255);
          const min = Math.min(63, nearest(round(perMin * mins[j]!)) & 255);
          putScale(out, at + 4, j, scale, min);
        }
        const [unit, minUnit] = [f16ToF32(d), f16ToF32(dmin)];
        for (let j = 0; j < 8; j++) {
          const scale = round(unit * scaleAt(out, at + 4, j));
          if (scale === 0) continue; // the codes stay as the search left them
          const min = round(minUnit * minAt(out, at + 4, j));
          for (let i = 32 * j; i < 32 * j + 32; i++) {
            const code = nearest(round(round(values[start + i]! + min) / scale));
            codes[i] = code > top ? top : code > 0 ? code : 0;
          }
        }
        for (let pair = 0; pair < 4; pair++) {
          for (let i = 0; i < 32; i++) {
            const first = codes[64 * pair + i]!;
            const second = codes[64 * pair + 32 + i]!;
            out[at + low + 32 * pair + i] = (first & 15) | (second & 15) << 4;
            if (fifth) out[at + 16 + i]! |= (first >> 4 | second >> 4 << 1) << 2 * pair;
          }
        }
      }
    },
    dequantize(bytes, out) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let start = 0, at = 0; start < out.length; start += blockValues, at += size) {
        const unit = f16ToF32(view.getUint16(at, true));
        const minUnit = f16ToF32(view.getUint16(at + 2, true));
        for (let j = 0; j < 8; j++) {
          const scale = round(unit * scaleAt(bytes, at + 4, j));
          const min = round(minUnit * minAt(bytes, at + 4, j));
          const from = at + low + 32 * (j >> 1);
          const shift = 4 * (j & 1);
          for (let i = 0; i < 32; i++) {
            let code = bytes[from + i]! >> shift & 15;
            if (fifth) code |= (bytes[at + 16 + i]! >> j & 1) << 4;
            out[start + 32 * j + i] = round(scale * code) - min;
          }
        }
      }
    },
  };
}

export const q4KCodec = minCodec({ top: 15, from: -1, step: round(0.1), candidates: 20 });
export const q5KCodec = minCodec({ top: 31, from: -0.5, step: round(0.1), candidates: 15 });

/** x² · x, of which the sums take l times as much. */
const cubes = new Float64Array(16);
const squares = new Float64Array(16);

/**
 * The scale for the first 16 values of `x` with codes −32..31 that has the least error weighted by
 * x² (ggml make_qx_quants); the codes plus 32 go to `out`.
 */
function searchSymmetricScale(out: Uint8Array, at: number): number {
  let [largest, size] = [0, 0];
  for (let i = 0; i < 16; i++) {
    const magnitude = Math.abs(x[i]!);
    if (magnitude > size) [size, largest] = [magnitude, x[i]!];
    squares[i] = round(x[i]! * x[i]!);
    cubes[i] = round(squares[i]! * x[i]!);
  }
  if (size < negligible) {
    out.fill(0, at, at + 16);
    return 0;
  }
  let [scale, best] = [0, 0];
  // The plain scale first, then those nearby.
  for (let candidate = -10; candidate <= 9; candidate++) {
    if (candidate === 0) continue;
    const first = candidate === -10;
    const span = first ? 32 : round(32 + round(round(0.1) * candidate));
    const inverse = round(-span / largest);
    let [sumLX, sumL2] = [0, 0];
    for (let i = 0; i < 16; i++) {
      const shifted = round(round(inverse * x[i]!) + roundingShift) - roundingShift;
      const code = shifted > 31 ? 31 : shifted >= -32 ? shifted : shifted < -32 ? -32 : 0;
      codes[i] = code;
      sumLX = round(sumLX + round(cubes[i]! * code));
      sumL2 = round(sumL2 + round(round(squares[i]! * code) * code));
    }
    if (!first && !(sumL2 > 0 && round(sumLX * sumLX) > round(best * sumL2))) continue;
    scale = sumL2 === 0 ? 0 : round(sumLX / sumL2);
    best = round(scale * sumLX);
    for (let i = 0; i < 16; i++) out[at + i] = codes[i]! + 32;
  }
  return scale;
}

const codes6 = new Uint8Array(blockValues);
const scales6 = new Float64Array(16);

/**
 * q6_K: 128 bytes of low four bits, 64 of high two bits, 16 i8 scales for sub-blocks of 16, f16 d at
 * the end. In each half of 128 values l, l + 32, l + 64, l + 96 share a byte of high bits.
 * x = d · scale · (q − 32).
 */
export const q6KCodec: BlockCodec = {
  quantize(values, out) {
    const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
    for (let start = 0, at = 0; start < values.length; start += blockValues, at += 210) {
      let [largest, size] = [0, 0];
      for (let j = 0; j < 16; j++) {
        for (let i = 0; i < 16; i++) x[i] = values[start + 16 * j + i]!;
        const scale = searchSymmetricScale(codes6, 16 * j);
        scales6[j] = scale;
        if (Math.abs(scale) > size) [size, largest] = [Math.abs(scale), scale];
      }
      if (size < negligible) {
        out.fill(0, at, at + 210);
        continue;
      }
      const inverse = round(-128 / largest);
      const d = f32ToF16(round(1 / inverse));
      const unit = f16ToF32(d);
      view.setUint16(at + 208, d, true);
      for (let j = 0; j < 16; j++) {
        const code = Math.min(127, nearest(round(inverse * scales6[j]!)));
        view.setInt8(at + 192 + j, code);
        const scale = round(unit * view.getInt8(at + 192 + j));
        if (scale === 0) continue;
        for (let i = 16 * j; i < 16 * j + 16; i++) {
          const code = nearest(round(values[start + i]! / scale));
          codes6[i] = (code > 31 ? 31 : code > -32 ? code : -32) + 32;
        }
      }
      for (let half = 0; half < 2; half++) {
        for (let l = 0; l < 32; l++) {
          const i = 128 * half + l;
          const [a, b, c, d] = [codes6[i]!, codes6[i + 32]!, codes6[i + 64]!, codes6[i + 96]!];
          out[at + 64 * half + l] = (a & 15) | (c & 15) << 4;
          out[at + 64 * half + 32 + l] = (b & 15) | (d & 15) << 4;
          out[at + 128 + 32 * half + l] = a >> 4 | b >> 4 << 2 | c >> 4 << 4 | d >> 4 << 6;
        }
      }
    }
  },
  dequantize(bytes, out) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let start = 0, at = 0; start < out.length; start += blockValues, at += 210) {
      const unit = f16ToF32(view.getUint16(at + 208, true));
      for (let j = 0; j < 16; j++) {
        const scale = round(unit * view.getInt8(at + 192 + j));
        const [half, quarter] = [j >> 3, j >> 1 & 3];
        // Sub-block j is the (j & 1)-th half of its 32 values.
        const from = 16 * (j & 1);
        const low = at + 64 * half + 32 * (quarter & 1) + from;
        const high = at + 128 + 32 * half + from;
        for (let i = 0; i < 16; i++) {
          const code = (bytes[low + i]! >> 4 * (quarter >> 1) & 15) |
            (bytes[high + i]! >> 2 * quarter & 3) << 4;
          out[start + 16 * j + i] = scale * (code - 32);
        }
      }
    }
  },
};
