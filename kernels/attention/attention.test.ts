import { expect, test } from "bun:test";
import { checkDerivative, checkKernel, noise } from "../check.ts";
import { attentionOp } from "./attention.ts";
import { bound, checkAttention, forwardOf, type Size } from "./testing.ts";

test("attention: derivative", () => {
  checkDerivative(forwardOf({ H: 2, KV: 1, D: 3, segments: [4, -1, 3] }));
  checkDerivative(forwardOf({ H: 2, KV: 2, D: 4, segments: [1, 5], scale: 0.7 }));
  checkDerivative(forwardOf({ H: 2, KV: 1, D: 4, segments: [1, 5], dtype: "f16" }));
  checkDerivative(forwardOf({ H: 2, KV: 1, D: 3, segments: [4, -1, 3], cap: 1.5 }));
});

// Kernels are compiled for their heads and widths: few of those, so that this takes seconds.
const common = { H: 4, KV: 2, D: 40, scale: 0.125 };
const sizes: [Size, boolean][] = [
  [{ ...common, segments: [70, 3, 1, 40, -9, 33] }, true],
  [{ ...common, segments: [65] }, true],
  [{ ...common, segments: [70, 3, 1, 40, -9, 33], dtype: "f16" }, true],
  [{ ...common, segments: [70, 3, 1, 40, -9, 33], cap: 2 }, true],
  [{ H: 3, KV: 1, D: 5, segments: [7, -3, 63] }, false], // the other variants are in *.deep.ts
];
for (const [size, every] of sizes) {
  test(`attention, both ways: ${JSON.stringify(size)}`, () => checkAttention(size, every));
}
/** Few rows over a cache: row t at position p[t] of the sequence that starts at base[t]. */
for (
  const { H, KV, D, S, rows, dtype, cap } of [
    { H: 4, KV: 2, D: 64, S: 300, rows: [[0, 300]] },
    { H: 2, KV: 1, D: 80, S: 700, rows: [[0, 257], [300, 301], [5, 5], [310, 699]] },
    { H: 4, KV: 2, D: 64, S: 300, rows: [[0, 300], [3, 9]], dtype: "f16" as const },
    { H: 4, KV: 2, D: 64, S: 300, rows: [[0, 300], [3, 9]], cap: 1.5 },
    { H: 1, KV: 1, D: 7, S: 70, rows: [[0, 64], [1, 66]] },
    { H: 1, KV: 1, D: 255, S: 20, rows: [[0, 20]] },
    { H: 2, KV: 2, D: 256, S: 33, rows: [[3, 20]] },
  ]
) {
  test(`attention over a cache: ${JSON.stringify({ H, KV, D, S, rows, cap })}`, async () => {
    const T = rows.length;
    await checkKernel({
      op: attentionOp,
      attrs: { heads: H, kvHeads: KV, scale: 1 / Math.sqrt(D), cap },
      inputs: [
        { shape: [T, H * D], scale: 2, dtype },
        { shape: [S, KV * D], scale: 2, dtype },
        { shape: [S, KV * D], dtype },
        { shape: [T, 2], dtype: "u32", data: rows.flat() },
      ],
    }, { bound });
  });
}

/** The same with keys in pages that lie in another order than the keys. */
for (
  const { T, D, dtype, cap } of [
    { T: 3, D: 64 },
    { T: 3, D: 64, dtype: "f16" as const, cap: 1.5 },
    { T: 40, D: 40 },
  ]
) {
  test(`attention over pages: ${JSON.stringify({ T, D, dtype, cap })}`, async () => {
    const page = 16, pages = Array.from({ length: 19 }, (_, i) => (i * 7 + 3) % 19);
    const rows = Array.from({ length: T }, (_, t) => t < T / 2 ? [0, t + 100] : [160, t + 161]);
    await checkKernel({
      op: attentionOp,
      attrs: { heads: 4, kvHeads: 2, scale: 1 / Math.sqrt(D), cap, page },
      inputs: [
        { shape: [T, 4 * D], scale: 2, dtype },
        { shape: [19 * page, 2 * D], scale: 2, dtype },
        { shape: [19 * page, 2 * D], dtype },
        { shape: [T, 2], dtype: "u32", data: rows.flat() },
        { shape: [19], dtype: "u32", data: pages },
      ],
    }, { bound });
  });
}

/** Scores up to 64,000 that are exact in f32, so that only the softmax can go wrong. */
for (const T of [3, 40]) {
  test(`attention: large scores, ${T} rows`, async () => {
    const c = forwardOf({ ...common, segments: [T] });
    const steps = ({ shape }: { shape: number[] }, by: number) =>
      Array.from({ length: shape[0]! * shape[1]! }, (_, i) => (((i * 7) % 11) - 5) * by);
    const [q, k, ...rest] = c.inputs;
    await checkKernel({
      ...c,
      inputs: [{ ...q!, data: steps(q!, 16) }, { ...k!, data: steps(k!, 32) }, ...rest],
    }, { bound: (_o, _i, want) => 2e-6 * Math.max(1, Math.abs(want)) });
  });
}

/** q·k of 64 products of 2^15 is 7e10, a million times what f16 holds; scaled, and exact in f32, it still is 9e9. */
for (const T of [3, 40]) {
  test(`attention: activations of 32768 in f16, ${T} rows`, async () => {
    const { op, attrs, inputs } = forwardOf({ H: 2, KV: 1, D: 64, segments: [T], dtype: "f16" });
    const [q, k, v, ...rest] = inputs;
    const large = ({ shape }: { shape: number[] }, step: number) =>
      Array.from({ length: shape[0]! * shape[1]! }, (_, i) => i % step === 0 ? -32768 : 32768);
    await checkKernel({
      op,
      attrs,
      inputs: [
        { ...q!, data: large(q!, 3) },
        { ...k!, data: large(k!, 7) },
        { ...v!, scale: 3e4 },
        ...rest,
      ],
    }, { bound: (_o, _i, want) => 2e-6 * Math.abs(want) + 3e4 * 6e-6 });
  });
}

test("attention: what no row sees is not read", async () => {
  const rows = [[2, 5], [9, 12]], hidden = new Set([0, 1, 5, 6, 7, 8, 12]);
  for (const T of [2, 34]) {
    const next = noise(3);
    const spans = Array.from({ length: T }, (_, t) => rows[Math.floor(2 * t / T)]!).flat();
    const { H, KV, D, scale } = common;
    const cache = Array.from(
      { length: 13 * KV * D },
      (_, i) => hidden.has(Math.floor(i / KV / D)) ? NaN : next(),
    );
    const result = await checkKernel({
      op: attentionOp,
      attrs: { heads: H, kvHeads: KV, scale },
      inputs: [
        { shape: [T, H * D] },
        { shape: [13, KV * D], data: cache },
        { shape: [13, KV * D], data: cache },
        { shape: [T, 2], dtype: "u32", data: spans },
      ],
    }, { bound });
    expect(Number.isNaN(result.worst)).toBe(false);
  }
});

test("attention: shapes that do not fit are refused", () => {
  const c = forwardOf({ H: 3, KV: 2, D: 4, segments: [5] });
  expect(() => checkDerivative(c)).toThrow("3 heads and 2 key heads");
  const odd = forwardOf({ H: 2, KV: 2, D: 6, segments: [5], dtype: "f16" });
  expect(() => checkDerivative(odd)).toThrow("heads that are no multiple of 4 must be f32");
});
