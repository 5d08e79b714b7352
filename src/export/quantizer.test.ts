import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blockCodec, blockType, bytesOf } from "../formats/gguf_blocks.ts";
import { createQuantizer } from "./quantizer.ts";
import { checkRange } from "./weights.ts";

// Three tasks, the last of them short.
const values = Float32Array.from({ length: (1 << 19) + 512 }, (_, i) => Math.sin(i * i));
const type = blockType("q4_K");
const expected = new Uint8Array(bytesOf(type, values.length));
blockCodec("q4_K").quantize(values, expected);
const same = (bytes: Uint8Array) => Buffer.compare(bytes, expected) === 0;

describe("quantising in threads", () => {
  test("gives the bytes of one thread, in order, and keeps the values", async () => {
    using quantizer = createQuantizer(2);
    const both = await Promise.all([1, 2].map(() => quantizer.quantize(type, values)));
    expect(both.map(same)).toEqual([true, true]);
    expect([values.length, quantizer.running]).toEqual([(1 << 19) + 512, 2]);
  });

  test("by an importance matrix in whole rows, as one thread does", async () => {
    const rows = values.subarray(0, 768 * 683), importance = rows.slice(0, 768).map((x) => x * x);
    using quantizer = createQuantizer(2);
    for (const name of ["q4_K", "q4_0"]) {
      const type = blockType(name), alone = new Uint8Array(bytesOf(type, rows.length));
      blockCodec(name).quantize(rows, alone, importance);
      const found = await quantizer.quantize(type, rows, importance);
      expect([name, Buffer.compare(found, alone), quantizer.running]).toEqual([name, 0, 2]);
    }
  });

  test("small pieces and plain types need no thread", async () => {
    using quantizer = createQuantizer(2, "/there/is/no/such/program.ts");
    const small = await quantizer.quantize(type, values.subarray(0, 512));
    expect(small).toEqual(expected.slice(0, 288));
    expect(quantizer.running).toBe(0);
    expect((await quantizer.quantize(blockType("f16"), values)).length).toBe(2 * values.length);
  });

  test("without a program, or where it fails, the work is done here", async () => {
    const dir = await mkdtemp(join(tmpdir(), "whet-"));
    const failing = join(dir, "failing.ts");
    writeFileSync(
      failing,
      'import { parentPort } from "node:worker_threads";\n' +
        'parentPort.on("message", () => process.exit(3));\n',
    );
    for (const program of [failing, join(dir, "none.ts")]) {
      using quantizer = createQuantizer(2, program);
      expect(same(await quantizer.quantize(type, values))).toBe(true);
      expect(same(await quantizer.quantize(type, values))).toBe(true);
      expect(quantizer.running).toBe(0);
    }
    await rm(dir, { recursive: true });
  });
});

test("the largest values that are let through survive every type", () => {
  for (const name of ["f16", "bf16", "q4_0", "q5_0", "q5_1", "q8_0", "q4_K", "q5_K", "q6_K"]) {
    let limit = 1;
    const fits = (value: number) => {
      try {
        checkRange("w", Float32Array.of(value), name);
        return true;
      } catch {
        return false;
      }
    };
    while (fits(1.01 * limit)) limit *= 1.01;
    for (const shape of [(i: number) => Math.sin(i), (i: number) => i % 2 ? 1 : -1, () => 1]) {
      const big = Float32Array.from({ length: 256 }, (_, i) => limit * shape(i));
      const bytes = new Uint8Array(bytesOf(blockType(name), 256));
      blockCodec(name).quantize(big, bytes);
      const back = new Float32Array(256);
      blockCodec(name).dequantize(bytes, back);
      const off = back.reduce((max, value, i) => Math.max(max, Math.abs(value - big[i]!)), 0);
      expect([name, off < 0.15 * limit]).toEqual([name, true]);
    }
  }
});
