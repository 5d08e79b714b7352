import { test } from "bun:test";
import { checkKernel, noise } from "../check.ts";
import { folded } from "../common/testing.ts";
import { columnSumOp } from "./column_sum.ts";

const shapes = [[1, 1], [3, 1], [64, 3], [65, 64], [255, 65], [1000, 12], [4097, 7], [33, 1000]];
for (const [T, C] of shapes as [number, number][]) {
  test(`column_sum: [${T}, ${C}]`, async () => {
    const next = noise(5), x = Float64Array.from({ length: T * C }, () => Math.fround(next()));
    const sizes = new Float64Array(C); // sum of |x| down each column
    x.forEach((v, i) => sizes[i % C]! += Math.abs(v));
    const op = T === 1000 ? folded(columnSumOp) : columnSumOp;
    await checkKernel({ op, attrs: {}, inputs: [{ shape: [T, C], data: x }] }, {
      bound: (_o, i) => 2 * Math.sqrt(T) * 2 ** -24 * sizes[i % C]! + 1e-12,
    });
  });
}

for (const [T, C] of [[7, 5], [300, 12], [1000, 64]] as [number, number][]) {
  test(`column_sum of squares: [${T}, ${C}]`, async () => {
    const next = noise(6), x = Float64Array.from({ length: T * C }, () => Math.fround(next()));
    const sizes = new Float64Array(C);
    x.forEach((v, i) => sizes[i % C]! += v * v);
    const attrs = { squares: true } as const;
    await checkKernel({ op: columnSumOp, attrs, inputs: [{ shape: [T, C], data: x }] }, {
      bound: (_o, i) => 2 * Math.sqrt(T) * 2 ** -24 * sizes[i % C]! + 1e-12,
    });
  });
}
