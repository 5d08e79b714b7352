import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { importances, KINDS, rows, TYPES } from "../../tests/fixtures/imatrix/values.ts";
import { blockCodec, blockType, bytesOf } from "./gguf_blocks.ts";

const vectors = `${import.meta.dir}/../../tests/fixtures/imatrix`;

const folder = `${import.meta.dir}/../../../shared/fixtures/quant`;
const present = existsSync(folder);
if (!present) console.log(`skipped: GGUF block vectors are not at ${folder}`);

const bytes = async (name: string) =>
  new Uint8Array(await Bun.file(`${folder}/${name}`).arrayBuffer());
const floats = async (name: string) => new Float32Array((await bytes(name)).buffer);

describe.skipIf(!present)("against ggml's own bytes", () => {
  for (const name of ["f16", "bf16", "q4_0", "q5_0", "q5_1", "q8_0", "q4_K", "q5_K", "q6_K"]) {
    test(name, async () => {
      const input = await floats("in.f32");
      const expected = await bytes(`${name}.bin`);
      const out = new Uint8Array(bytesOf(blockType(name), input.length));
      blockCodec(name).quantize(input, out);
      expect(Buffer.from(out).equals(Buffer.from(expected))).toBe(true);

      const back = new Float32Array(input.length);
      blockCodec(name).dequantize(expected, back);
      const wanted = await bytes(`${name}.deq.f32`);
      expect(Buffer.from(back.buffer).equals(Buffer.from(wanted))).toBe(true);
    });
  }
});

test("q8_0 rounds halves away from zero and keeps an all-zero block zero", () => {
  const values = new Float32Array(64);
  values.set([127, 0.5, -0.5, 1.5, -1.5, 2.4999]);
  const out = new Uint8Array(68);
  blockCodec("q8_0").quantize(values, out);
  expect([...new Int8Array(out.buffer).slice(2, 8)]).toEqual([127, 1, -1, 2, -2, 2]);
  expect(out.slice(34).every((byte) => byte === 0)).toBe(true);
});

test("a byte offset that is not a multiple of the element size is read correctly", () => {
  const shifted = new Uint8Array(9);
  shifted.set([0x00, 0x3c, 0x00, 0xc0], 1);
  const out = new Float32Array(2);
  blockCodec("f16").dequantize(shifted.subarray(1, 5), out);
  expect([...out]).toEqual([1, -2]);
  shifted.set([0x80, 0x3f, 0x00, 0xc0], 1);
  blockCodec("bf16").dequantize(shifted.subarray(1, 5), out);
  expect([...out]).toEqual([1, -2]);
});

test("bf16 keeps a NaN a NaN and rounds half to even", () => {
  const values = new Float32Array(new Uint32Array([0x7f80_0001, 0x3f80_8000, 0x3f81_8000]).buffer);
  const out = new Uint8Array(6);
  blockCodec("bf16").quantize(values, out);
  const halves = new Uint16Array(out.buffer);
  expect(halves[0]! & 0x7fff).toBeGreaterThan(0x7f80);
  expect([...halves.slice(1)]).toEqual([0x3f80, 0x3f82]);
});

test("types without a converter and unknown names are refused by name", () => {
  expect(() => blockCodec("q2_K")).toThrow("q2_K cannot be converted");
  expect(() => blockType("q9")).toThrow("q9 is not a GGUF tensor type");
  expect(() => bytesOf(blockType("q8_0"), 33)).toThrow("not whole q8_0 blocks");
});

/** Rows of 256 that are hard on a quantiser, from a fixed generator. */
function hardRows(): Map<string, Float32Array> {
  let state = 1;
  const uniform = () => (state = Math.imul(state, 1664525) + 1013904223 >>> 0) / 2 ** 32;
  const spread = () => uniform() + uniform() + uniform() - 1.5;
  const row = (value: (i: number) => number) =>
    Float32Array.from({ length: 256 }, (_, i) => value(i));
  return new Map([
    ["zeros", row(() => 0)],
    ["random", row(spread)],
    ["ties", row(() => Math.round(4 * spread()) / 2)],
    ["halves", row((i) => (i % 31) - 15)],
    ["one outlier", row((i) => i === 77 ? 1000 : spread() / 1000)],
    ["one value", row((i) => i === 200 ? -3 : 0)],
    ["a constant", row(() => 0.37)],
    ["constant sub-blocks", row((i) => Math.sin(i >> 4))],
    ["positive", row(() => uniform() + 0.5)],
    ["negative", row(() => -uniform() - 0.5)],
    ["denormals", row(() => spread() * 1e-41)],
    ["1e-30", row(() => spread() * 1e-30)],
    ["small", row(() => spread() * 2 ** -18)],
    ["mixed sizes", row(() => spread() * 10 ** (8 * uniform() - 7))],
    ["large", row(() => spread() * 4e4)],
  ]);
}

describe("hard rows", () => {
  const rows = hardRows();
  // Steps of the codes over a range of 2 max, and for K types those of the sub-blocks' own scales.
  const steps = { q4_0: 8, q5_0: 16, q5_1: 15.5, q8_0: 127, q4_K: 6, q5_K: 10, q6_K: 20 };
  for (const [name, perMax] of Object.entries(steps)) {
    test(`${name} keeps every value within a step, and no NaN`, () => {
      const { quantize, dequantize } = blockCodec(name);
      for (const [kind, values] of rows) {
        const bytes = new Uint8Array(bytesOf(blockType(name), 256)).fill(0xa5);
        quantize(values, bytes);
        const back = new Float32Array(256).fill(NaN);
        dequantize(bytes, back);
        const largest = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
        const worst = values.reduce((max, x, i) => Math.max(max, Math.abs(back[i]! - x)), 0);
        // The smallest f16 is what a scale can be off by.
        const limit = largest * (1 + 2 ** -10) / perMax + 2 ** -25 * 64 * 32;
        expect([kind, worst <= limit]).toEqual([kind, true]);
      }
    });

    test(`${name} does not depend on what came before or lies beside`, () => {
      const { quantize } = blockCodec(name);
      const { bytes: size, block } = blockType(name);
      const all = new Float32Array([...rows.values()].flatMap((row) => [...row]));
      const together = new Uint8Array(bytesOf(blockType(name), all.length));
      quantize(all, together);
      for (let i = all.length / block - 1; i >= 0; i--) {
        const alone = new Uint8Array(size + 3).subarray(3).fill(0xff);
        quantize(all.slice(i * block, (i + 1) * block), alone);
        expect(alone).toEqual(together.slice(i * size, (i + 1) * size));
      }
    });

    test(`${name}: NaN and infinite values end, and the other blocks stay right`, () => {
      const { quantize } = blockCodec(name);
      const { bytes: size, block } = blockType(name);
      const values = Float32Array.from({ length: 3 * block }, (_, i) => Math.sin(i));
      const clean = new Uint8Array(3 * size);
      quantize(values, clean);
      for (const bad of [NaN, Infinity, -Infinity, 3e38, -3e38]) {
        values[block + 5] = bad;
        const out = new Uint8Array(3 * size);
        quantize(values, out);
        expect(out.slice(0, size)).toEqual(clean.slice(0, size));
        expect(out.slice(2 * size)).toEqual(clean.slice(2 * size));
      }
    });
  }
});

describe("with an importance matrix, against ggml's own bytes", () => {
  const values = rows();
  for (const name of TYPES) {
    test(name, async () => {
      const expected = await Bun.file(`${vectors}/${name}.bin`).bytes();
      const size = bytesOf(blockType(name), values.length);
      for (let kind = 0; kind < KINDS; kind++) {
        const out = new Uint8Array(size);
        blockCodec(name).quantize(values, out, importances(kind));
        const wrong = out.findIndex((byte, i) => byte !== expected[kind * size + i]);
        expect([name, kind, wrong]).toEqual([name, kind, -1]);
      }
    });
  }
});
