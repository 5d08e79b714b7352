import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromF32, toF32 } from "../base/bits.ts";
import { Fail } from "../base/fail.ts";
import { normalFill } from "../base/random.ts";
import { dequantiseRows, quantiseRows, quantiseStoredRows } from "./int8.ts";
import { int8OwnerOf, int8Rows, int8Sources, isSavedInt8, readInt8 } from "./int8_state.ts";
import { openSafetensors, type TensorSource, writeSafetensors } from "./safetensors.ts";

const folder = mkdtempSync(join(tmpdir(), "int8-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** bitsandbytes' row-wise quantisation as its formula reads, one row after another, in words of f32. */
function asWritten(x: Float32Array, width: number) {
  const rows = Array.from({ length: x.length / width }, (_, r) => [
    ...x.subarray(r * width, (r + 1) * width),
  ]);
  const absmax = rows.map((row) => Math.max(...row.map(Math.abs)));
  const codes = rows.flatMap((row, r) =>
    row.map((v) => {
      const scaled = Math.fround(v * Math.fround(127 / absmax[r]!)), down = Math.floor(scaled);
      const middle = scaled - down; // exact
      return middle < 0.5 || (middle === 0.5 && down % 2 === 0) ? down : down + 1;
    })
  );
  return { codes, absmax };
}

test("codes and magnitudes are those of the formula, ties and ends among them", () => {
  const x = normalFill(1, 0, 40 * 96, 0.3);
  // A row whose products are halves: 127 / 127 = 1.
  x.set([127, -127, 0.5, 1.5, -0.5, -2.5, 126.5, -126.5], 3 * 96);
  x.set(x.subarray(0, 88).map((v) => Math.round(v * 20) / 2), 3 * 96 + 8);
  const want = asWritten(x, 96), got = quantiseRows(x, 96);
  expect([...got.absmax]).toEqual(want.absmax);
  expect([...got.codes]).toEqual(want.codes.map((v) => v + 0)); // -0 is 0 in a byte
  expect([...got.codes.subarray(3 * 96, 3 * 96 + 8)]).toEqual([127, -127, 0, 2, 0, -2, 126, -126]);
});

test("every f16 number, and others once they are rounded to f16, as bitsandbytes takes them", () => {
  const halves = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const all = toF32(new Uint8Array(halves.buffer), "F16").filter((v) => Math.abs(v) < 6e4);
  const x = all.subarray(0, all.length - all.length % 31).map((v, i) => v * (1 - i % 7 * 2 ** -12));
  for (const type of ["F16", "F32", "BF16"] as const) {
    const bytes = fromF32(x, type), got = quantiseStoredRows(bytes, type, 31);
    const want = asWritten(toF32(bytes, type).map(Math.f16round), 31);
    expect([...got.absmax]).toEqual(want.absmax);
    // In a row of zeros the formula divides by zero.
    const codes = want.codes.map((v) => Number.isNaN(v) ? 0 : v + 0);
    expect([...got.codes].findIndex((v, i) => v !== codes[i])).toBe(-1);
  }
});

test("rows wider than what is encoded at once", () => {
  const x = normalFill(8, 0, 3 * 20_001, 1), want = asWritten(x, 20_001);
  const got = quantiseRows(x, 20_001);
  expect([...got.absmax]).toEqual(want.absmax);
  expect([...got.codes]).toEqual(want.codes.map((v) => v + 0));
});

test("numbers come back within half a step", () => {
  const x = normalFill(2, 0, 30 * 77, 1), q = quantiseRows(x, 77), y = dequantiseRows(q, 77);
  const off = [...y].filter((v, i) => {
    const step = q.absmax[Math.floor(i / 77)]! / 127;
    return !(Math.abs(v - x[i]!) <= step * (0.5 + 1e-4));
  });
  expect(off).toEqual([]);
  expect(dequantiseRows(q, 77, 4, 5)).toEqual(y.slice(5 * 77, 9 * 77));
});

test("rows of zeros and of the smallest numbers stay finite", () => {
  const x = new Float32Array(24);
  x.fill(2 ** -24, 8, 16); // the smallest of f16
  x.fill(-3e38, 16);
  const q = quantiseRows(x, 8);
  expect([...q.codes]).toEqual([0, 127, -127].flatMap((v) => Array(8).fill(v)));
  expect(dequantiseRows(q, 8).every(Number.isFinite)).toBe(true);
});

test("what is not finite, or not in f16, is refused by name", () => {
  for (const v of [NaN, Infinity, -Infinity]) {
    for (const type of ["F32", "F16", "BF16"] as const) {
      const bytes = fromF32(new Float32Array(8).fill(v, 5, 6), type);
      expect(() => quantiseStoredRows(bytes, type, 4, "w")).toThrow(
        new Fail(`w holds ${v}, which has no place in int8`),
      );
    }
  }
  const large = (v: number) => fromF32(Float32Array.of(1, v), "F32");
  expect(() => quantiseStoredRows(large(65_520), "F32", 2)).toThrow("a number beyond 65504");
  expect(quantiseStoredRows(large(65_519), "F32", 2).absmax[0]).toBe(65_504);
  expect(quantiseRows(Float32Array.of(1, 70_000), 2).absmax[0]).toBe(70_000);
});

test("in a file, written and read, whole and by rows", async () => {
  const q = quantiseRows(normalFill(3, 0, 12 * 20, 1), 20), path = join(folder, "a.safetensors");
  await writeSafetensors(path, int8Sources("p.weight", q, [12, 20]));
  using file = openSafetensors(path);
  expect([...file.tensors].map(([name, { dtype, shape }]) => [name, dtype, shape])).toEqual([
    ["p.SCB", "F32", [12]],
    ["p.weight", "I8", [12, 20]],
    ["p.weight_format", "U8", []],
  ]);
  expect(isSavedInt8(file, "p.weight")).toBe(true);
  expect(isSavedInt8(file, "p.SCB")).toBe(false);
  expect(["p.SCB", "p.weight_format", "p.weight"].map(int8OwnerOf)).toEqual([
    "p.weight",
    "p.weight",
    undefined,
  ]);
  expect(readInt8(file, "p.weight")).toEqual(q);
  const some = readInt8(file, "p.weight", 3, 5);
  expect(dequantiseRows(some, 20)).toEqual(dequantiseRows(q, 20, 2, 3));
});

describe("damaged files", () => {
  const q = quantiseRows(normalFill(4, 0, 6 * 8, 1), 8);
  const read = (spoil: (sources: TensorSource[]) => TensorSource[]) => {
    const sources = spoil(int8Sources("p.weight", q, [6, 8]));
    const tensors = new Map(sources.map((s) => [s.name, { dtype: s.dtype, shape: s.shape }]));
    const readBytes = (name: string) => sources.find((s) => s.name === name)!.data as Uint8Array;
    return () => int8Rows({ tensors, readBytes }, "p.weight");
  };
  const change = (name: string, to: Partial<TensorSource>) => (sources: TensorSource[]) =>
    sources.map((s) => s.name === name ? { ...s, ...to } : s);

  test("the whole one is read", () => {
    expect(read((s) => s)()).toEqual({ shape: [6, 8], absmax: q.absmax });
    expect(read((s) => s.slice(0, 2))().shape).toEqual([6, 8]); // old files say no format
  });
  test.each<[string, (sources: TensorSource[]) => TensorSource[]]>([
    ["its SCB is missing", (s) => s.filter(({ name }) => name !== "p.SCB")],
    ["expected 6 of F32", change("p.SCB", { shape: [5] })],
    ["expected 6 of F32", change("p.SCB", { dtype: "F16" })],
    ["is no magnitude", change("p.SCB", { data: new Uint8Array(24).fill(0xff) })],
    ["expected a matrix", change("p.weight", { shape: [48] })],
    ["weight_format is not 0", change("p.weight_format", { data: Uint8Array.of(1) })],
  ])("%s", (says, spoil) => {
    expect(read(spoil)).toThrow(says);
  });
});
