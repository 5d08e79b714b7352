import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { blockCodec, blockType, bytesOf } from "./gguf_blocks.ts";

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
