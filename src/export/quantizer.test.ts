import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blockCodec, blockType, bytesOf } from "../formats/gguf_blocks.ts";
import { createQuantizer } from "./quantizer.ts";

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

  test("small pieces and plain types need no thread", async () => {
    using quantizer = createQuantizer(2, "/there/is/no/such/program.ts");
    const small = await quantizer.quantize(type, values.subarray(0, 512));
    expect(small).toEqual(expected.slice(0, 288));
    expect(quantizer.running).toBe(0);
    expect((await quantizer.quantize(blockType("q8_0"), values)).length).toBe(
      values.length / 32 * 34,
    );
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
