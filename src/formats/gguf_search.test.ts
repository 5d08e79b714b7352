import { expect, test } from "bun:test";
import { searcher } from "./gguf_search.ts";

const round = Math.fround;
const rounded = (x: number) => round(round(x + 12582912) - 12582912);
const clamp = (x: number, low: number, high: number) => Math.max(low, Math.min(high, x));

/** One sub-block with a minimum, value by value, as ggml has it. Ordinary values only. */
function plainWithMin(x: Float32Array, top: number, from: number, step: number, last: number) {
  let square = 0;
  for (const value of x) square = round(square + round(value * value));
  const typical = round(Math.sqrt(square / x.length));
  const weights = x.map((value) => typical + Math.abs(value));
  let [min, max, sumW, sumX] = [0, -Infinity, 0, 0];
  x.forEach((value, i) => {
    min = Math.min(min, value);
    max = Math.max(max, value);
    sumW = round(sumW + weights[i]!);
    sumX = round(sumX + round(weights[i]! * value));
  });
  if (min === max) return { scale: 0, min };
  const codesFor = (inverse: number) =>
    x.map((value) => clamp(rounded(round(inverse * round(value - min))), 0, top));
  const errorOf = (codes: Float32Array, scale: number, min: number) =>
    x.reduce((error, value, i) => {
      const off = round(round(round(scale * codes[i]!) + min) - value);
      return round(error + round(weights[i]! * round(off * off)));
    }, 0);
  let inverse = round(top / round(max - min));
  let scale = round(1 / inverse);
  let least = errorOf(codesFor(inverse), scale, min);
  for (let candidate = 0; candidate <= last; candidate++) {
    inverse = round(
      round(round(from + round(round(step) * candidate)) + top) / round(max - min),
    );
    const codes = codesFor(inverse);
    let [sumL, sumL2, sumXL] = [0, 0, 0];
    codes.forEach((code, i) => {
      const weighted = round(weights[i]! * code);
      sumL = round(sumL + weighted);
      sumL2 = round(sumL2 + round(weighted * code));
      sumXL = round(sumXL + round(weighted * x[i]!));
    });
    const determinant = round(round(sumW * sumL2) - round(sumL * sumL));
    if (!(determinant > 0)) continue;
    let ofScale = round(round(round(sumW * sumXL) - round(sumX * sumL)) / determinant);
    let ofMin = round(round(round(sumL2 * sumX) - round(sumL * sumXL)) / determinant);
    if (ofMin > 0) [ofMin, ofScale] = [0, round(sumXL / sumL2)];
    const error = errorOf(codes, ofScale, ofMin);
    if (error < least) [least, scale, min] = [error, ofScale, ofMin];
  }
  return { scale, min };
}

/** The scale of one sub-block without a minimum, as ggml has it. */
function plainSymmetric(x: Float32Array): number {
  const largest = x.reduce((max, value) => Math.abs(value) > Math.abs(max) ? value : max, 0);
  if (Math.abs(largest) < 1e-15) return 0;
  let [scale, best] = [0, 0];
  for (const candidate of [NaN, -9, -8, -7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9]) {
    const plain = Number.isNaN(candidate);
    const span = plain ? 32 : round(32 + round(round(0.1) * candidate));
    const inverse = round(-span / largest);
    let [sumLX, sumL2] = [0, 0];
    for (const value of x) {
      const code = clamp(rounded(round(inverse * value)), -32, 31);
      const square = round(value * value);
      sumLX = round(sumLX + round(round(square * value) * code));
      sumL2 = round(sumL2 + round(round(square * code) * code));
    }
    if (!plain && !(sumL2 > 0 && round(sumLX * sumLX) > round(best * sumL2))) continue;
    scale = sumL2 === 0 ? 0 : round(sumLX / sumL2);
    best = round(scale * sumLX);
  }
  return scale;
}

let state = 7;
const uniform = () => (state = Math.imul(state, 1664525) + 1013904223 >>> 0) / 2 ** 32;
const kinds: (() => number)[] = [
  () => uniform() + uniform() - 1,
  () => uniform() ** 8 - 0.01,
  () => Math.round(6 * uniform() - 3) / 4,
  () => uniform() < 0.1 ? 50 * uniform() : 0,
  () => -uniform(),
  () => 0.25,
];

test("four lanes find what one value after the other finds, to the bit", () => {
  const search = searcher();
  for (let turn = 0; turn < 60; turn++) {
    // Neighbouring sub-blocks are of different kinds: one lane must not touch another.
    const sizes = [32, 16] as const;
    for (const size of sizes) {
      const x = Float32Array.from(
        { length: 256 },
        (_, i) => kinds[(Math.floor(i / size) + turn) % kinds.length]!(),
      );
      const blocks = Array.from(
        { length: 256 / size },
        (_, j) => x.slice(j * size, (j + 1) * size),
      );
      search.load(x, 0, 256, size);
      if (size === 32) {
        const [top, from, last] = turn % 2 === 0 ? [15, -1, 20] : [31, -0.5, 15];
        search.typicalWeights(2);
        search.searchWithMin(2, top, from, 0.1, last);
        const found = blocks.map((_, j) => ({ scale: search.scale(j), min: search.min(j) }));
        expect(found).toEqual(blocks.map((block) => plainWithMin(block, top, from, 0.1, last)));
      } else {
        search.squareWeights(4);
        search.searchSymmetric(4, 16, 32);
        expect(blocks.map((_, j) => search.scale(j))).toEqual(blocks.map(plainSymmetric));
      }
    }
  }
});

test("codes are those of the scale given, or of the search where it is 0", () => {
  const search = searcher();
  const x = Float32Array.from({ length: 256 }, (_, i) => (i % 32) - 4);
  search.load(x, 0, 256, 32);
  search.typicalWeights(2);
  search.searchWithMin(2, 15, -1, 0.1, 20);
  const codes = new Uint8Array(256);
  for (let j = 0; j < 8; j++) search.setScale(j, j === 5 ? 0 : 2, 4);
  search.encode(2, 32, 0, 15);
  search.store(codes, 32, 0);
  for (let i = 0; i < 160; i++) {
    const half = (x[i]! + 4) / 2;
    const even = half % 1 === 0.5 ? 2 * Math.round(half / 2) : half;
    expect(codes[i]).toBe(Math.min(15, even));
  }
  const searched = codes.slice(160, 192);
  expect([searched[0], searched[31]]).toEqual([0, 15]);
});
