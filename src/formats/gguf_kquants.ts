/**
 * ggml's K formats: 256 values a block, in sub-blocks of 16 or 32 that each have a small integer
 * scale (and minimum) under the block's f16 scale. The scale of a sub-block is searched: the one of
 * some twenty candidates with the least weighted squared error (ggml-quants.c, *_ref functions).
 */
import { f16ToF32, f32ToF16 } from "../base/bits.ts";
import { type BlockCodec, nearest, squareSum } from "./gguf_codec.ts";
import { searcher } from "./gguf_search.ts";
import { quantiseScales } from "./gguf_scales.ts";

const round = Math.fround;
const blockValues = 256;
/** Below this ggml takes a block for zero. */
const negligible = round(1e-15);

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

/** Scales in steps of a 63rd of the largest, into `steps`. @returns the step */
function plainScales(scales: Float32Array, steps: Uint8Array): number {
  let largest = 0;
  for (const scale of scales) if (scale > largest) largest = scale;
  const inverse = largest > 0 ? round(63 / largest) : 0;
  scales.forEach((scale, j) => {
    steps[j] = Math.min(63, nearest(round(inverse * scale)) & 255);
  });
  return largest / 63;
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
  const found = { scales: new Float32Array(8), minima: new Float32Array(8) };
  const totals = new Float32Array(8);
  const steps = { scales: new Uint8Array(8), minima: new Uint8Array(8) };
  return {
    quantize(values, out, importance) {
      const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
      const search = searcher();
      for (let start = 0, at = 0; start < values.length; start += blockValues, at += size) {
        search.load(values, start, blockValues, 32);
        if (importance) {
          search.loadWeights(importance, start % importance.length, blockValues, 32);
          const spread = squareSum(values, start, start + blockValues) / (blockValues / 2);
          search.spreadWeights(2, 32, spread);
          search.searchWithMin(2, top, -0.9, 0.05, 36);
        } else {
          search.typicalWeights(2);
          search.searchWithMin(2, top, from, step, candidates);
        }
        for (let j = 0; j < 8; j++) {
          found.scales[j] = search.scale(j);
          found.minima[j] = -search.min(j);
          totals[j] = search.total(j);
        }
        const fit = (from: Float32Array, to: Uint8Array) =>
          importance ? quantiseScales(from, totals, to) : plainScales(from, to);
        const d = f32ToF16(fit(found.scales, steps.scales));
        const dmin = f32ToF16(fit(found.minima, steps.minima));
        view.setUint16(at, d, true);
        view.setUint16(at + 2, dmin, true);
        out.fill(0, at + 4, at + low);
        const [unit, minUnit] = [f16ToF32(d), f16ToF32(dmin)];
        for (let j = 0; j < 8; j++) {
          const [scale, min] = [steps.scales[j]!, steps.minima[j]!];
          putScale(out, at + 4, j, scale, min);
          search.setScale(j, unit * scale, minUnit * min);
        }
        search.encode(2, 32, 0, top);
        search.store(codes, 32, 0);
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

const codes6 = new Uint8Array(blockValues);

/**
 * q6_K: 128 bytes of low four bits, 64 of high two bits, 16 i8 scales for sub-blocks of 16, f16 d at
 * the end. In each half of 128 values l, l + 32, l + 64, l + 96 share a byte of high bits.
 * x = d · scale · (q − 32).
 */
export const q6KCodec: BlockCodec = {
  quantize(values, out, importance) {
    const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
    const search = searcher();
    for (let start = 0, at = 0; start < values.length; start += blockValues, at += 210) {
      search.load(values, start, blockValues, 16);
      if (importance) search.loadWeights(importance, start % importance.length, blockValues, 16);
      else search.squareWeights(4);
      search.searchSymmetric(4, 16, 32);
      let [largest, size] = [0, 0];
      for (let j = 0; j < 16; j++) {
        const scale = search.scale(j);
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
        view.setInt8(at + 192 + j, Math.min(127, nearest(round(inverse * search.scale(j)))));
        search.setScale(j, unit * view.getInt8(at + 192 + j), 0);
      }
      search.encode(4, 16, -32, 31);
      search.store(codes6, 16, 32);
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
