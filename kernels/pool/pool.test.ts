import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { folded } from "../common/testing.ts";
import { poolBackward, poolOp } from "./pool.ts";

const NONE = 0xffffffff, u32 = "u32" as const;

/** Sequences of growing length: whole, first row, last row in turn; a gap between; one empty place last. */
function of(T: number, C: number, dtype: "f32" | "f16" = "f32") {
  const ranges: number[] = [], owner = new Array<number>(T).fill(NONE), factor: number[] = [];
  for (let t = 0, n = 1; t + n <= T; t += n + 1, n += 2) {
    const s = factor.length;
    const [lo, hi] = s % 3 === 0 ? [t, t + n] : s % 3 === 1 ? [t, t + 1] : [t + n - 1, t + n];
    ranges.push(lo, hi);
    owner.fill(s, lo, hi);
    factor.push(1 / (hi - lo));
  }
  ranges.push(0, 0);
  factor.push(0.5);
  const S = factor.length;
  return {
    forward: {
      op: poolOp,
      attrs: null,
      inputs: [
        { shape: [T, C], dtype },
        { shape: [S, 2], dtype: u32, data: ranges },
        { shape: [T], dtype: u32, data: owner },
        { shape: [S], data: factor, grad: false as const },
      ],
    },
    backward: {
      op: poolBackward,
      attrs: null,
      inputs: [
        { shape: [S, C] },
        { shape: [T], dtype: u32, data: owner },
        { shape: [S], data: factor, grad: false as const },
      ],
    },
  };
}

test("pool: derivative", () => {
  expect(checkDerivative(of(20, 3).forward)).toBeLessThan(1e-6);
  expect(checkDerivative(of(20, 4, "f16").forward)).toBeLessThan(1e-6);
});
for (const [T, C] of [[1, 1], [7, 5], [64, 64], [65, 63], [300, 12], [2001, 64]] as const) {
  test(`pool: [${T}, ${C}]`, async () => {
    const { forward, backward } = of(T, C);
    await checkKernel(forward);
    await checkKernel(backward);
    if (C % 4 === 0) await checkKernel(of(T, C, "f16").forward);
  });
}
test("pool: more workgroups than one dimension of a grid", async () => {
  const { forward, backward } = of(65, 63);
  await checkKernel({ ...forward, op: folded(poolOp) });
  await checkKernel({ ...backward, op: folded(poolBackward) });
});
test("pool: inputs that do not fit are named", () => {
  const { forward } = of(7, 5);
  const inputs = [{ shape: [8, 5] }, ...forward.inputs.slice(1)];
  expect(() => checkDerivative({ ...forward, inputs })).toThrow("do not fit");
});
