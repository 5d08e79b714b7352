/** ggml's formats of 32 values a block: one scale, in some a minimum, and an integer a value. */
import { f16ToF32, f32ToF16 } from "../base/bits.ts";
import { type BlockCodec, squareSum } from "./gguf_codec.ts";
import { searcher } from "./gguf_search.ts";

const viewOf = (bytes: Uint8Array) =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/**
 * q8_0: f16 scale, 32 i8. d = max|x| / 127, q = round(x / d) half away from zero with the reciprocal
 * of the unrounded d (ggml quantize_row_q8_0_ref).
 */
export const q8Codec: BlockCodec = {
  quantize(values, out) {
    const view = viewOf(out);
    const quants = new Int8Array(out.buffer, out.byteOffset, out.byteLength);
    for (let start = 0, at = 0; start < values.length; start += 32, at += 34) {
      let largest = 0;
      for (let i = start; i < start + 32; i++) {
        const size = Math.abs(values[i]!);
        if (size > largest) largest = size;
      }
      const scale = Math.fround(largest / 127);
      const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
      view.setUint16(at, f32ToF16(scale), true);
      for (let i = 0; i < 32; i++) {
        const scaled = Math.fround(values[start + i]! * inverse);
        quants[at + 2 + i] = scaled < 0 ? -Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5);
      }
    }
  },
  dequantize(bytes, out) {
    const view = viewOf(bytes);
    for (let start = 0, at = 0; start < out.length; start += 32, at += 34) {
      const scale = f16ToF32(view.getUint16(at, true));
      for (let i = 0; i < 32; i++) out[start + i] = scale * view.getInt8(at + 2 + i);
    }
  },
};

/** The scale that takes the value of largest magnitude, with its sign, to -half. */
function symmetricScale(values: Float32Array, start: number, half: number): number {
  let [largest, size] = [0, 0];
  for (let i = start; i < start + 32; i++) {
    const magnitude = Math.abs(values[i]!);
    if (magnitude > size) [size, largest] = [magnitude, values[i]!];
  }
  return Math.fround(largest / -half);
}

/** Values quantised at once: a block in each lane of a vector. */
const FOUR = 128;
const fourCodes = new Uint8Array(FOUR);

/**
 * Searches, by an importance matrix, the scales of the blocks of whole rows, four at a time; the
 * weights are importance · sqrt(mean x² of the row + x²).
 * @param search what is done with four blocks
 * @param lowest the lowest code
 * @param put takes a block's place, scale, minimum and its codes, counted from the lowest
 */
function weighted(
  values: Float32Array,
  importance: Float32Array,
  search: (found: ReturnType<typeof searcher>) => void,
  lowest: number,
  put: (block: number, scale: number, min: number, codes: Uint8Array) => void,
): void {
  const found = searcher(), width = importance.length;
  for (let row = 0; row < values.length; row += width) {
    const spread = Math.fround(squareSum(values, row, row + width) / width);
    for (let column = 0; column < width; column += FOUR) {
      const count = Math.min(FOUR, width - column), blocks = count / 32;
      found.load(values, row + column, count, 32);
      found.loadWeights(importance, column, count, 32);
      found.spreadWeights(1, 32, spread);
      search(found);
      const scales = Array.from({ length: blocks }, (_, j) => [found.scale(j), found.min(j)]);
      for (let j = 0; j < blocks; j++) found.setScale(j, 0, 0);
      found.encode(1, 32, 0, 0);
      found.store(fourCodes.subarray(0, count), 32, -lowest);
      scales.forEach(([scale, min], j) =>
        put((row + column) / 32 + j, scale!, min!, fourCodes.subarray(32 * j, 32 * j + 32))
      );
    }
  }
}

/** Codes in half bytes, j beside j + 16. @returns their fifth bits */
function putCodes(out: Uint8Array, at: number, codes: Uint8Array): number {
  let fifth = 0;
  for (let j = 0; j < 16; j++) {
    const [first, second] = [codes[j]!, codes[j + 16]!];
    out[at + j] = (first & 15) | (second & 15) << 4;
    fifth |= (first >> 4) << j | (second >> 4) << (j + 16);
  }
  return fifth;
}

/**
 * q4_0 and q5_0: f16 scale d, for q5_0 a u32 of fifth bits, 16 bytes of which byte j holds the low
 * four bits of values j and j + 16. x = d · (q − half), half = 8 or 16.
 */
function symmetricCodec(half: 8 | 16): BlockCodec {
  const low = half === 16 ? 6 : 2;
  const size = low + 16;
  const top = 2 * half - 1;
  const codes = new Uint8Array(32);
  return {
    quantize(values, out, importance) {
      const view = viewOf(out);
      const put = (block: number, scale: number, codes: Uint8Array) => {
        view.setUint16(block * size, f32ToF16(scale), true);
        const fifth = putCodes(out, block * size + low, codes);
        if (half === 16) view.setInt32(block * size + 2, fifth, true);
      };
      if (importance) {
        const search = (found: ReturnType<typeof searcher>) => found.searchSymmetric(1, 32, half);
        return weighted(values, importance, search, -half, (b, scale, _, c) => put(b, scale, c));
      }
      for (let start = 0, block = 0; start < values.length; start += 32, block++) {
        const scale = symmetricScale(values, start, half);
        const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
        for (let j = 0; j < 32; j++) {
          // Towards zero, as a C cast; a NaN (0 · ∞ among denormals) becomes 0.
          const x = Math.fround(values[start + j]! * inverse);
          const code = Math.fround(x + (half + 0.5)) << 24 >> 24;
          codes[j] = code < top ? code : top;
        }
        put(block, scale, codes);
      }
    },
    dequantize(bytes, out) {
      const view = viewOf(bytes);
      for (let start = 0, at = 0; start < out.length; start += 32, at += size) {
        const scale = f16ToF32(view.getUint16(at, true));
        const fifth = half === 16 ? view.getInt32(at + 2, true) : 0;
        for (let j = 0; j < 16; j++) {
          const pair = bytes[at + low + j]!;
          out[start + j] = scale * (((pair & 15) | (fifth >> j & 1) << 4) - half);
          out[start + j + 16] = scale * (((pair >> 4) | (fifth >> (j + 16) & 1) << 4) - half);
        }
      }
    },
  };
}

export const q4Codec = symmetricCodec(8);
export const q5Codec = symmetricCodec(16);

/**
 * q4_1 and q5_1: f16 d, f16 minimum m, for q5_1 a u32 of fifth bits, 16 bytes as in q5_0.
 * x = d · q + m.
 */
function minCodec(top: 15 | 31): BlockCodec {
  const low = top === 31 ? 8 : 4;
  const size = low + 16;
  const codes = new Uint8Array(32);
  return {
    quantize(values, out, importance) {
      const view = viewOf(out);
      const put = (block: number, scale: number, min: number, codes: Uint8Array) => {
        view.setUint16(block * size, f32ToF16(scale), true);
        view.setUint16(block * size + 2, f32ToF16(min), true);
        const fifth = putCodes(out, block * size + low, codes);
        if (top === 31) view.setInt32(block * size + 4, fifth, true);
      };
      if (importance) {
        const search = (found: ReturnType<typeof searcher>) =>
          found.searchWithMin(1, top, -0.9, 0.05, 36);
        return weighted(values, importance, search, 0, put);
      }
      for (let start = 0, block = 0; start < values.length; start += 32, block++) {
        let [least, most] = [Infinity, -Infinity];
        for (let i = start; i < start + 32; i++) {
          const value = values[i]!;
          if (value < least) least = value;
          if (value > most) most = value;
        }
        const scale = Math.fround(Math.fround(most - least) / top);
        const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
        for (let j = 0; j < 32; j++) {
          const x = Math.fround(values[start + j]! - least);
          codes[j] = Math.min(top, Math.fround(Math.fround(x * inverse) + 0.5) & 255);
        }
        put(block, scale, least, codes);
      }
    },
    dequantize(bytes, out) {
      const view = viewOf(bytes);
      for (let start = 0, at = 0; start < out.length; start += 32, at += size) {
        const scale = f16ToF32(view.getUint16(at, true));
        const min = f16ToF32(view.getUint16(at + 2, true));
        const fifth = top === 31 ? view.getInt32(at + 4, true) : 0;
        for (let j = 0; j < 16; j++) {
          const pair = bytes[at + low + j]!;
          const first = (pair & 15) | (fifth >> j & 1) << 4;
          const second = (pair >> 4) | (fifth >> (j + 16) & 1) << 4;
          out[start + j] = Math.fround(scale * first) + min;
          out[start + j + 16] = Math.fround(scale * second) + min;
        }
      }
    },
  };
}

export const q4MinCodec = minCodec(15);
export const q5MinCodec = minCodec(31);
