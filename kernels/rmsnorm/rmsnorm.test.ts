import { expect, test } from "bun:test";
import { checkDerivative, checkKernel, type Operand } from "../check.ts";
import { blockRows } from "../common/blocks.ts";
import { folded, onHardware } from "../common/testing.ts";
import { rmsnormDw, rmsnormDx, rmsnormOp } from "./rmsnorm.ts";

const attrs = { eps: 1e-5 }, half = { ...attrs, out: "f16" as const };
const x = (...shape: number[]): Operand => ({ shape, scale: 2 });
const rstd = (T: number): Operand => ({
  shape: [T],
  data: Array.from({ length: T }, (_, t) => 0.5 + (t % 7) / 4),
});

for (const plusOne of [false, true]) {
  for (const [T, C, H] of [[3, 5, 1], [2, 8, 3]] as const) {
    test(`rmsnorm: derivative [${T}, ${H} · ${C}]${plusOne ? ", gain - 1" : ""}`, () => {
      const inputs = [x(T, H * C), x(C)];
      expect(checkDerivative({ op: rmsnormOp, attrs: { ...attrs, plusOne }, inputs }))
        .toBeLessThan(1e-6);
    });
  }
}

// A sum over C of |h · x̂| stays below 24 C here, and its error times |x̂| reaches every element.
const loose = { bound: (_o: number, _i: number, want: number) => 4e-6 * Math.abs(want) + 1e-5 };

const shapes = [[1, 1], [5, 3], [3, 64], [4, 65], [3, 255], [2, 1000], [1, 4097], [2, 8192]];
for (const [T, C] of shapes as [number, number][]) {
  test(`rmsnorm: [${T}, ${C}]`, async () => {
    await checkKernel({ op: rmsnormOp, attrs, inputs: [x(T, C), x(C)] });
    await checkKernel({ op: rmsnormOp, attrs: half, inputs: [x(T, C), x(C)] });
    const inputs = [x(T, C), x(T, C), x(C), rstd(T)];
    await checkKernel({ op: rmsnormDx, attrs: { ...attrs, plusOne: true }, inputs }, loose);
  });
}
for (const [T, C] of [[1, 3], [65, 64], [1000, 5], [4097, 4]] as const) {
  test(`rmsnorm: gradient of the gain, [${T}, ${C}]`, async () => {
    const L = Math.min(T, blockRows(T)); // rows that one lane adds, each product below 8
    await checkKernel({ op: rmsnormDw, attrs: null, inputs: [x(T, C), x(T, C), rstd(T)] }, {
      bound: () => 2 * Math.sqrt(L) * 2 ** -24 * 8 * L,
    });
  });
}
test("rmsnorm: heads share a gain", async () => {
  await checkKernel({ op: rmsnormOp, attrs, inputs: [x(7, 3 * 64), x(64)] });
});
test("rmsnorm: more rows than one dimension of a grid", async () => {
  await checkKernel({ op: folded(rmsnormOp), attrs, inputs: [x(65, 64), x(64)] });
  const inputs = [x(65, 64), x(65, 64), x(64), rstd(65)];
  await checkKernel({ op: folded(rmsnormDx), attrs: { ...attrs, plusOne: true }, inputs }, loose);
});
test("rmsnorm: rows of zeros and of large numbers", async () => {
  const data = [0, 0, 0, 0, 1e15, -2e15, 3e15, 1e10];
  await checkKernel({ op: rmsnormOp, attrs, inputs: [{ shape: [2, 4], data }, x(4)] });
  await checkKernel({ op: rmsnormOp, attrs: half, inputs: [{ shape: [2, 4], data }, x(4)] });
});
test("rmsnorm: workgroups of several subgroups", async () => {
  await checkKernel({ op: onHardware(rmsnormOp), attrs, inputs: [x(2, 500), x(500)] });
});
test("rmsnorm: a gain that does not fit is named", () => {
  expect(() => checkDerivative({ op: rmsnormOp, attrs, inputs: [x(2, 6), x(4)] }))
    .toThrow("in1 f32[4] does not divide the last axis of in0 f32[2, 6]");
});
