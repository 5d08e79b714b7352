/** ggml's formats of 32 values a block: one scale, in some a minimum, and an integer a value. */
import { f16ToF32, f32ToF16 } from "../base/bits.ts";
import type { BlockCodec } from "./gguf_codec.ts";

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

/**
 * q4_0 and q5_0: f16 scale d, for q5_0 a u32 of fifth bits, 16 bytes of which byte j holds the low
 * four bits of values j and j + 16. x = d · (q − half), half = 8 or 16.
 */
function symmetricCodec(half: 8 | 16): BlockCodec {
  const low = half === 16 ? 6 : 2;
  const size = low + 16;
  const top = 2 * half - 1;
  return {
    quantize(values, out) {
      const view = viewOf(out);
      for (let start = 0, at = 0; start < values.length; start += 32, at += size) {
        const scale = symmetricScale(values, start, half);
        const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
        view.setUint16(at, f32ToF16(scale), true);
        // Towards zero, as a C cast; a NaN (0 · ∞ among denormals) becomes 0.
        const code = (x: number) => {
          const scaled = Math.fround(Math.fround(x * inverse) + (half + 0.5)) << 24 >> 24;
          return scaled < top ? scaled : top;
        };
        let fifth = 0;
        for (let j = 0; j < 16; j++) {
          const first = code(values[start + j]!);
          const second = code(values[start + j + 16]!);
          out[at + low + j] = (first & 15) | (second << 4);
          fifth |= ((first >> 4) & 1) << j | ((second >> 4) & 1) << (j + 16);
        }
        if (half === 16) view.setInt32(at + 2, fifth, true);
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

/** q5_1: f16 d, f16 minimum m, u32 of fifth bits, 16 bytes as in q5_0. x = d · q + m. */
export const q5MinCodec: BlockCodec = {
  quantize(values, out) {
    const view = viewOf(out);
    for (let start = 0, at = 0; start < values.length; start += 32, at += 24) {
      let [low, high] = [Infinity, -Infinity];
      for (let i = start; i < start + 32; i++) {
        const value = values[i]!;
        if (value < low) low = value;
        if (value > high) high = value;
      }
      const scale = Math.fround(Math.fround(high - low) / 31);
      const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
      view.setUint16(at, f32ToF16(scale), true);
      view.setUint16(at + 2, f32ToF16(low), true);
      const code = (x: number) =>
        Math.fround(Math.fround(Math.fround(x - low) * inverse) + 0.5) & 255;
      let fifth = 0;
      for (let j = 0; j < 16; j++) {
        const first = code(values[start + j]!);
        const second = code(values[start + j + 16]!);
        out[at + 8 + j] = (first & 15) | (second & 15) << 4;
        fifth |= ((first >> 4) & 1) << j | ((second >> 4) & 1) << (j + 16);
      }
      view.setInt32(at + 4, fifth, true);
    }
  },
  dequantize(bytes, out) {
    const view = viewOf(bytes);
    for (let start = 0, at = 0; start < out.length; start += 32, at += 24) {
      const scale = f16ToF32(view.getUint16(at, true));
      const low = f16ToF32(view.getUint16(at + 2, true));
      const fifth = view.getInt32(at + 4, true);
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + 8 + j]!;
        const first = (pair & 15) | (fifth >> j & 1) << 4;
        const second = (pair >> 4) | (fifth >> (j + 16) & 1) << 4;
        out[start + j] = Math.fround(scale * first) + low;
        out[start + j + 16] = Math.fround(scale * second) + low;
      }
    }
  },
};
