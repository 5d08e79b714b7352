import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fail } from "../base/fail.ts";
import { normalFill } from "../base/random.ts";
import { dequantise, dynamicMap, nest, nf4Code, quantise, unnest } from "./nf4.ts";
import { isSavedNf4, nf4Sources, ownerOf, type Parts, readNf4, savedShape } from "./nf4_state.ts";
import { openSafetensors, type TensorSource, writeSafetensors } from "./safetensors.ts";

const fixtures = join(import.meta.dir, "../../../shared/fixtures/nf4");
const vectors = test.skipIf(!existsSync(fixtures));
if (!existsSync(fixtures)) console.warn("SKIPPED the NF4 vectors: no fixtures beside the project");
const bytes = (name: string) => new Uint8Array(readFileSync(join(fixtures, name)));
const f32 = (name: string) => new Float32Array(bytes(name).slice().buffer);

const folder = mkdtempSync(join(tmpdir(), "nf4-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** How many bytes differ. */
function differing(a: ArrayBufferView, b: ArrayBufferView): number {
  const view = (x: ArrayBufferView) => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
  const [left, right] = [view(a), view(b)];
  expect(left.length).toBe(right.length);
  return left.reduce((n, byte, i) => n + (byte === right[i] ? 0 : 1), 0);
}

describe("against bitsandbytes", () => {
  vectors("the tables", () => {
    expect(differing(nf4Code, f32("nf4_code_f32.bin"))).toBe(0);
    expect(differing(dynamicMap, f32("dynamic_map_f32.bin"))).toBe(0);
  });

  vectors("codes, scales and values", () => {
    const w = f32("w_f32_384x512.bin"), q = quantise(w), nested = nest(q.scales);
    expect(differing(q.codes, bytes("plain_packed.bin"))).toBe(0);
    expect(differing(q.codes, bytes("nested_packed.bin"))).toBe(0);
    expect(differing(dequantise(q, w.length), f32("plain_dequant_f32.bin"))).toBe(0);
    const scales = unnest(nested);
    const values = dequantise({ codes: q.codes, scales }, w.length);
    expect(differing(values, f32("nested_dequant_f32.bin"))).toBe(0);
  });

  for (const kind of ["plain", "nested"] as const) {
    vectors(`the ${kind} state in a file, read and written`, async () => {
      using theirs = openSafetensors(join(fixtures, `${kind}.safetensors`));
      const saved = readNf4(theirs, "weight");
      expect([saved.shape, saved.dtype]).toEqual([[384, 512], "float32"]);
      const values = dequantise(saved, 384 * 512);
      expect(differing(values, f32(`${kind}_dequant_f32.bin`))).toBe(0);

      const q = quantise(f32("w_f32_384x512.bin"));
      const nested = kind === "nested" ? nest(q.scales) : undefined;
      const path = join(folder, `${kind}.safetensors`);
      await writeSafetensors(path, nf4Sources("weight", { ...saved, ...q, nested }));
      using ours = openSafetensors(path);
      expect([...ours.tensors.keys()].sort()).toEqual([...theirs.tensors.keys()].sort());
      for (const [name, { dtype, shape }] of theirs.tensors) {
        expect(ours.tensors.get(name)).toMatchObject({ dtype, shape });
        expect([name, differing(ours.readBytes(name), theirs.readBytes(name))]).toEqual([name, 0]);
      }
    });
  }
});

/** The nearest code by search over all of them, the lower one of two that are equally near. */
function nearest(v: number): number {
  let best = 0;
  nf4Code.forEach((c, i) => {
    if (Math.abs(c - v) < Math.abs(nf4Code[best]! - v)) best = i;
  });
  return best;
}

test("every threshold, one step below and above", () => {
  const x = new Float32Array(64), bits = new Uint32Array(x.buffer);
  for (let i = 0; i < 15; i++) {
    x.fill(0);
    x[0] = -1;
    x[1] = Math.fround(nf4Code[i]! + nf4Code[i + 1]!) / 2;
    bits[2] = bits[1]! - 1;
    bits[3] = bits[1]! + 1;
    const { codes } = quantise(x);
    const got = [codes[0]! & 15, codes[1]! >> 4, codes[1]! & 15];
    const [less, more] = x[1]! < 0 ? [i + 1, i] : [i, i + 1]; // nearer to 0, farther from it
    expect(got).toEqual([i, less, more]);
  }
});

test("random numbers get the nearest code, in blocks across rows, the last one short", () => {
  const x = normalFill(3, 0, 1001, 0.7), { codes, scales } = quantise(x);
  expect([codes.length, scales.length]).toEqual([501, 16]);
  const off = Array.from(x).filter((v, i) => {
    const scale = scales[i >> 6]!, code = codes[i >> 1]! >> (i % 2 === 0 ? 4 : 0) & 15;
    return code !== nearest(Math.fround(v * Math.fround(1 / scale)));
  });
  expect(off).toEqual([]);
  expect(codes[500]! & 15).toBe(7);
});

test("quantising what was quantised changes nothing", () => {
  const x = normalFill(4, 0, 4096, 3), once = quantise(x);
  const again = quantise(dequantise(once, x.length));
  expect(again).toEqual(once);
});

test("blocks of zeros and of subnormal numbers stay finite", () => {
  const x = new Float32Array(192);
  x.fill(2 ** -149, 64, 128);
  x.fill(-(2 ** 127), 128);
  const q = quantise(x), y = dequantise(q, 192);
  expect(q.codes.subarray(0, 32)).toEqual(new Uint8Array(32).fill(0x77));
  expect(y.every(Number.isFinite)).toBe(true);
  expect(y[150]).toBe(-(2 ** 127));
  expect(unnest(nest(new Float32Array(300))).every((v) => v === 0)).toBe(true);
});

test("what is not finite is refused by name", () => {
  for (const v of [NaN, Infinity, -Infinity]) {
    const x = new Float32Array(100);
    x[77] = v;
    expect(() => quantise(x, "model.w")).toThrow(
      new Fail(`model.w holds ${v}, which has no place in NF4`),
    );
  }
});

test("double quantisation stays within a step of its map", () => {
  const scales = normalFill(5, 0, 1000, 0.02).map((v) => Math.abs(v) + 0.1);
  const nested = nest(scales);
  unnest(nested).forEach((v, i) => {
    expect(Math.abs(v - scales[i]!)).toBeLessThan(0.01 * nested.scales[i >> 8]! + 1e-8);
  });
});

/** Sources as if they were in a file. */
function parts(sources: readonly TensorSource[]): Parts & { drop(name: string): void } {
  const tensors = new Map(sources.map((s) => [s.name, { dtype: s.dtype, shape: s.shape }]));
  return {
    tensors,
    readBytes: (name) => sources.find((s) => s.name === name)!.data as Uint8Array,
    drop: (name) => tensors.delete(name),
  };
}

describe("damaged files", () => {
  const q = quantise(normalFill(6, 0, 30 * 20, 1)), nested = nest(q.scales);
  const saved = { ...q, nested, shape: [30, 20], dtype: "bfloat16" as const };
  const sources = () => nf4Sources("w", saved);

  test("the whole one is read", () => {
    const from = parts(sources());
    expect(isSavedNf4(from, "w")).toBe(true);
    expect(savedShape(from, "w")).toEqual({
      shape: [30, 20],
      dtype: "bfloat16",
      double: true,
    });
    expect(readNf4(from, "w")).toEqual({ ...saved, scales: unnest(nested) });
    expect(ownerOf("w.nested_absmax")).toBe("w");
    expect(ownerOf("w")).toBeUndefined();
  });

  for (const { name } of nf4Sources("w", saved)) {
    test(`without ${name}`, () => {
      const from = parts(sources());
      from.drop(name);
      expect(() => readNf4(from, "w")).toThrow(Fail);
    });
  }

  const states: readonly [string, string][] = [
    ["fp4", `{"quant_type": "fp4", "blocksize": 64, "dtype": "float32", "shape": [30, 20]}`],
    ["32", `{"quant_type": "nf4", "blocksize": 32, "dtype": "float32", "shape": [30, 20]}`],
    ["shape", `{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": "30"}`],
    [
      "expected 512",
      `{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [32, 32]}`,
    ],
    ["JSON", `{"quant_type": `],
  ];
  for (const [says, text] of states) {
    test(`a state that is wrong in ${says}`, () => {
      const from = parts(
        sources().map((s) =>
          s.name.endsWith("nf4") ? { ...s, data: new TextEncoder().encode(text) } : s
        ),
      );
      expect(() => readNf4(from, "w")).toThrow(says);
    });
  }

  test("another table of codes", () => {
    const from = parts(
      sources().map((s) => s.name === "w.quant_map" ? { ...s, data: new Uint8Array(64) } : s),
    );
    expect(() => readNf4(from, "w")).toThrow("not the table of NF4");
  });
});

test("scales get the code that has as many thresholds below them, at and around each threshold", () => {
  const around = [...dynamicMap.subarray(1)].flatMap((v, i) => {
    const x = Float32Array.of(Math.fround(dynamicMap[i]! + v) / 2, 0, 0);
    const bits = new Uint32Array(x.buffer);
    bits[1] = bits[0]! - 1;
    bits[2] = bits[0]! + 1;
    return [...x];
  });
  // Blocks whose mean is 0 and whose largest magnitude is 1 are their own scaled numbers.
  for (let from = 0; from < around.length; from += 127) {
    const some = [1, ...around.slice(from, from + 127), ...new Array(127).fill(0)].slice(0, 128);
    // Each number is followed by its opposite in the same lane of the sum, which so is 0 exactly.
    const block = [0, 32, 64, 96].flatMap((at) => {
      const lanes = some.slice(at, at + 32);
      return [...lanes, ...lanes.map((v) => -v)];
    });
    const { codes, offset } = nest(Float32Array.from(block));
    expect(offset).toBe(0);
    const wrong = block.filter((v, i) => {
      let above = 0;
      for (let t = 0; t < 255; t++) {
        if (v > Math.fround(dynamicMap[t]! + dynamicMap[t + 1]!) / 2) above++;
      }
      return codes[i] !== above;
    });
    expect(wrong).toEqual([]);
  }
});
