import { describe, expect, test } from "bun:test";
import * as bits from "./bits.ts";

/** Every float32 worth a look: all high halves crossed with low halves at rounding boundaries. */
function* interesting(): Generator<number> {
  for (let high = 0; high < 65536; high++) {
    for (
      const low of [0, 1, 0x0fff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x7fff, 0x8000, 0x8001, 0xffff]
    ) {
      yield (high * 65536 + low) >>> 0;
    }
  }
}

/** Nearest by search among neighbours in exact arithmetic: a second, slow definition of rounding. */
function nearest(x: number, toValue: (bits: number) => number, guess: number): number {
  let best = -1;
  for (let c = guess - 2; c <= guess + 2; c++) {
    if (c < 0 || c > 0xffff) continue;
    const value = toValue(c);
    if (!Number.isFinite(value)) continue;
    const better = best < 0 ? Infinity : Math.abs(x - toValue(best)) - Math.abs(x - value);
    if (better > 0 || (better === 0 && c % 2 === 0)) best = c;
  }
  return best;
}

describe("half precision", () => {
  test("f16 -> f32 is exact for all 65536 patterns", () => {
    for (let h = 0; h < 65536; h++) {
      const e = (h >> 10) & 31, m = h & 1023, s = h >> 15 ? -1 : 1;
      const expected = e === 31
        ? (m ? NaN : s * Infinity)
        : e === 0
        ? s * m * 2 ** -24
        : s * (1 + m / 1024) * 2 ** (e - 15);
      if (!Object.is(bits.f16ToF32(h), expected)) throw new Error(`0x${h.toString(16)}`);
      if (e !== 31 || m === 0) expect(bits.f32ToF16(expected)).toBe(h);
    }
  });

  test("f32 -> f16 equals the engine's own rounding, signs of zero and NaN included", () => {
    const u = Uint32Array.from(interesting());
    const x = new Float32Array(u.buffer);
    const ours = bits.toF16(x);
    const native = new Uint16Array(new Float16Array(x).buffer);
    for (let i = 0; i < x.length; i++) {
      const isNaN = (u[i]! & 0x7fffffff) > 0x7f800000;
      const expected = isNaN ? ((u[i]! >>> 16) & 0x8000) | 0x7e00 : native[i]!;
      if (ours[i] !== expected) throw new Error(`0x${u[i]!.toString(16)}: ${ours[i]} ${expected}`);
    }
  });

  test("f32 -> bf16 is the nearest, ties to even, on finite values below overflow", () => {
    for (const u of interesting()) {
      const x = new Float32Array(Uint32Array.of(u).buffer)[0]!;
      const got = bits.f32ToBf16(x);
      if (Number.isNaN(x)) expect([got & 0x7f80, got & 0x40]).toEqual([0x7f80, 0x40]);
      else if (Math.abs(x) <= bits.bf16ToF32(0x7f7f) && u % 7 === 0) {
        if (got !== nearest(x, bits.bf16ToF32, u >>> 16)) throw new Error(`0x${u.toString(16)}`);
      }
    }
    expect(bits.f32ToBf16(3.4e38)).toBe(0x7f80);
    expect(bits.f32ToBf16(-Infinity)).toBe(0xff80);
  });

  test("known values", () => {
    const pairs: [number, number][] = [
      [65504, 0x7bff],
      [65519.99, 0x7bff],
      [65520, 0x7c00],
      [2 ** -24, 1],
      [2 ** -25, 0],
      [2 ** -25 * 1.0001, 1],
      [-0, 0x8000],
      [1 + 2 ** -11, 0x3c00],
      [1 + 3 * 2 ** -11, 0x3c02],
    ];
    for (const [x, h] of pairs) expect(bits.f32ToF16(Math.fround(x))).toBe(h);
  });

  test("bulk equals scalar, and a signalling NaN becomes quiet", () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const h = bits.fromF16(all), b = bits.fromBf16(all);
    for (let i = 0; i < 65536; i += 13) {
      expect(h[i]).toBe(bits.f16ToF32(i));
      expect(b[i]).toBe(bits.bf16ToF32(i));
    }
    expect(new Uint32Array(h.buffer)[0xfc01]!).toBe(0xffc02000);
    const x = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer);
    expect([...bits.toF16(x)]).toEqual([0x7e00, 0xfe00]);
    expect([...bits.toBf16(x)]).toEqual([0x7fc0, 0xffc0]);
  });
});

describe("toF32", () => {
  test("reads every numeric type, at any alignment", () => {
    const cases: [bits.Dtype, ArrayBufferView, number[]][] = [
      ["F32", Float32Array.of(1.5, -2), [1.5, -2]],
      ["F64", Float64Array.of(1.5, 1e300), [1.5, Infinity]],
      ["F16", Uint16Array.of(0x3c00, 0xc000), [1, -2]],
      ["BF16", Uint16Array.of(0x3f80, 0xc000), [1, -2]],
      ["BOOL", Uint8Array.of(0, 1), [0, 1]],
      ["U8", Uint8Array.of(0, 255), [0, 255]],
      ["I8", Int8Array.of(-128, 127), [-128, 127]],
      ["I16", Int16Array.of(-32768, 1), [-32768, 1]],
      ["U16", Uint16Array.of(65535, 1), [65535, 1]],
      ["I32", Int32Array.of(-5, 1 << 30), [-5, 1 << 30]],
      ["U32", Uint32Array.of(5, 2 ** 31), [5, 2 ** 31]],
      ["I64", BigInt64Array.of(-3n, 1n << 40n), [-3, 2 ** 40]],
      ["U64", BigUint64Array.of(3n, 1n << 63n), [3, 2 ** 63]],
    ];
    for (const [dtype, data, expected] of cases) {
      const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      for (const offset of [0, 1, 3]) {
        const moved = new Uint8Array(raw.length + offset).subarray(offset);
        moved.set(raw);
        expect([...bits.toF32(moved, dtype)]).toEqual(expected);
      }
      expect(bits.convertible(dtype)).toBe(true);
    }
  });

  test("refuses what it cannot read exactly", () => {
    expect(() => bits.toF32(new Uint8Array(3), "F32")).toThrow(RangeError);
    for (const dtype of ["F4", "F6_E2M3", "F8_E4M3", "F8_E8M0", "C64"] as const) {
      expect(bits.convertible(dtype)).toBe(false);
      expect(() => bits.toF32(new Uint8Array(8), dtype)).toThrow(TypeError);
    }
  });

  test("fromF32 and toF32 are inverse for representable values", () => {
    const x = Float32Array.of(0, -0, 1, -2.5, 0.0078125, Infinity);
    for (const dtype of ["F32", "F16", "BF16"] as const) {
      expect([...bits.toF32(bits.fromF32(x, dtype), dtype)]).toEqual([...x]);
    }
  });
});

test("allFinite sees one bad value anywhere, and nothing else", () => {
  const x = Float32Array.of(0, -0, 3.4e38, -3.4e38, 1e-45);
  expect(bits.allFinite(x)).toBe(true);
  expect(bits.allFinite(new Float32Array(0))).toBe(true);
  for (let i = 0; i < x.length; i++) {
    for (const bad of [NaN, Infinity, -Infinity]) {
      expect(bits.allFinite(Float32Array.from(x, (v, k) => k === i ? bad : v))).toBe(false);
    }
  }
});
