import { expect, test } from "bun:test";
import {
  kaimingUniform,
  normalFill,
  permutation,
  philox,
  streamOf,
  uniform,
  uniformFill,
  word,
} from "./random.ts";

test("philox4x32-10: the published known answers", () => {
  const hex = (words: Uint32Array) =>
    [...words].map((w) => w.toString(16).padStart(8, "0")).join(" ");
  expect(hex(philox([0, 0], [0, 0, 0, 0]))).toBe("6627e8d5 e169c58d bc57ac4c 9b00dbd8");
  const ones = 0xffffffff;
  expect(hex(philox([ones, ones], [ones, ones, ones, ones])))
    .toBe("408f276d 41c83b0e a20bc7c6 6d5451fd");
  expect(hex(philox([0xa4093822, 0x299f31d0], [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344])))
    .toBe("d16cfe09 94fdcceb 5001e420 24126ea1");
});

test("a number depends on seed, stream, step and index, and on nothing else", () => {
  const all = [[7, 1, 5, 0], [8, 1, 5, 0], [7 + 2 ** 32, 1, 5, 0], [7, 2, 5, 0], [7, 1, 6, 0], [
    7,
    1,
    5,
    1,
  ]];
  const draw = () =>
    all.map(([seed, stream, index, step]) => uniform(seed!, stream!, index!, step!));
  expect(new Set(draw()).size).toBe(all.length);
  expect(draw().reverse()).toEqual(all.toReversed().map(([a, b, c, d]) => uniform(a!, b!, c!, d!)));
  const filled = uniformFill(7, 1, 11, 0, 1);
  expect([...filled]).toEqual(Array.from({ length: 11 }, (_, i) => uniform(7, 1, i)));
  expect([...uniformFill(7, 1, 6, 0, 1)]).toEqual([...filled.subarray(0, 6)]);
  expect(word(7, 1, 5) >>> 8).toBe(uniform(7, 1, 5) * 2 ** 24);
  expect(streamOf("a.weight")).not.toBe(streamOf("b.weight"));
});

test("permutation: every number once, every place equally likely", () => {
  for (const n of [0, 1, 2, 1000]) {
    expect([...permutation(3, 1, n)].sort((a, b) => a - b)).toEqual(
      Array.from({ length: n }, (_, i) => i),
    );
  }
  expect(permutation(3, 1, 100)).toEqual(permutation(3, 1, 100));
  expect(permutation(3, 1, 100)).not.toEqual(permutation(3, 2, 100));
  const counts = new Map<string, number>(), rounds = 6000;
  for (let epoch = 0; epoch < rounds; epoch++) {
    const order = permutation(5, epoch, 3).join();
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  let chi = 0;
  for (const n of counts.values()) chi += (n - rounds / 6) ** 2 / (rounds / 6);
  expect(counts.size).toBe(6);
  expect(chi).toBeLessThan(20.5); // 5 degrees of freedom, one in a thousand
});

test("fills have the moments of their distributions", () => {
  const moments = (x: Float32Array) => {
    const mean = x.reduce((s, v) => s + v, 0) / x.length;
    return { mean, variance: x.reduce((s, v) => s + (v - mean) ** 2, 0) / x.length };
  };
  const n = 40_000;
  const normal = moments(normalFill(1, 2, n, 0.02));
  expect(Math.abs(normal.mean)).toBeLessThan(4 * 0.02 / Math.sqrt(n));
  expect(Math.abs(normal.variance / 0.02 ** 2 - 1)).toBeLessThan(4 * Math.sqrt(2 / n));
  const a = kaimingUniform(1, 2, n, 64), uniformA = moments(a);
  expect(Math.max(...a)).toBeLessThanOrEqual(1 / 8);
  expect(Math.max(...a)).toBeGreaterThan(0.999 / 8);
  expect(Math.min(...a)).toBeGreaterThanOrEqual(-1 / 8);
  expect(Math.abs(uniformA.variance * 3 * 64 - 1)).toBeLessThan(0.03);
});
