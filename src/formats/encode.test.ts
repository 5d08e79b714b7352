import { expect, test } from "bun:test";
import { fromF32, toF32 } from "../base/bits.ts";
import { normalFill } from "../base/random.ts";
import { quantise, quantiseStored } from "./nf4.ts";

test("16-bit numbers are quantised as the f32 that they are, whatever the length", () => {
  for (const n of [1, 7, 63, 64, 65, 1000, 2 ** 14 - 1, 2 ** 14 + 1, 40_000]) {
    const x = normalFill(1, n, n, 0.02);
    for (const type of ["F16", "BF16", "F32"] as const) {
      const bytes = fromF32(x, type);
      expect(quantiseStored(bytes, type)).toEqual(quantise(toF32(bytes, type)));
    }
  }
});

test("every 16-bit number is widened exactly: each alone in a block is its own scale", () => {
  for (const type of ["F16", "BF16"] as const) {
    const infinite = type === "F16" ? 0x7c00 : 0x7f80;
    const bits = new Uint16Array(infinite * 64);
    for (let h = 0; h < infinite; h++) bits[h * 64 + h % 64] = h | (h % 2) << 15;
    const bytes = new Uint8Array(bits.buffer), { scales } = quantiseStored(bytes, type);
    const values = toF32(new Uint8Array(Uint16Array.from(scales, (_, h) => h).buffer), type);
    expect(scales.findIndex((v, h) => v !== values[h])).toBe(-1);
    for (const bad of [infinite, infinite | 0x8000, infinite + 1, 0xffff, 0x7fff]) {
      bits[77] = bad;
      expect(() => quantiseStored(bytes, type, "w")).toThrow(
        `w holds ${toF32(new Uint8Array(Uint16Array.of(bad).buffer), type)[0]}`,
      );
    }
  }
});
