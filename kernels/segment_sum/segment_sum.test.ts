import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { segmentSpreadOp, segmentSumOp } from "./segment_sum.ts";

/** Segments of these lengths, and `rest` numbers after them that are in none. */
function of(lengths: readonly number[], rest = 0) {
  const bounds: number[] = [], owner: number[] = [];
  lengths.forEach((length, n) => {
    if (n % 3 === 2) owner.push(0xffffffff); // in none
    bounds.push(owner.length, owner.length + length);
    for (let i = 0; i < length; i++) owner.push(n);
  });
  for (let i = 0; i < rest; i++) owner.push(0xffffffff);
  const S = owner.length, u32 = "u32" as const;
  return {
    sum: {
      op: segmentSumOp,
      attrs: null,
      inputs: [
        { shape: [S] },
        { shape: [lengths.length, 2], dtype: u32, data: bounds },
        { shape: [S], dtype: u32, data: owner },
      ],
    },
    spread: {
      op: segmentSpreadOp,
      attrs: { shape: [S] },
      inputs: [{ shape: [lengths.length, 1] }, { shape: [S], dtype: u32, data: owner }],
    },
  };
}

test("segment_sum: derivative", () => {
  expect(checkDerivative(of([3, 0, 5, 1], 2).sum)).toBeLessThan(1e-6);
});

for (
  const lengths of [
    [1],
    [63, 64, 65],
    [0, 300, 0, 7],
    Array.from({ length: 130 }, (_, i) => i % 5),
  ]
) {
  test(`segment_sum: ${lengths.length} segments, ${Math.max(...lengths)} the longest`, async () => {
    const { sum, spread } = of(lengths, 3), most = Math.max(...lengths);
    await checkKernel(sum, { bound: () => most * 2 ** -23 + 1e-7 });
    await checkKernel(spread, { bound: () => 0 });
  });
}
