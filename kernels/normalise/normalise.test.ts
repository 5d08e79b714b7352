import { expect, test } from "bun:test";
import { checkDerivative, checkKernel, type Operand } from "../check.ts";
import { folded, onHardware } from "../common/testing.ts";
import { normaliseBackward, normaliseOp } from "./normalise.ts";

const attrs = { length: 1 };
const x = (...shape: number[]): Operand => ({ shape, scale: 2 });
const r = (T: number): Operand => ({
  shape: [T],
  data: Array.from({ length: T }, (_, t) => 0.5 + (t % 7) / 4),
});
const loose = { bound: (_o: number, _i: number, want: number) => 4e-6 * Math.abs(want) + 2e-5 };

test("normalise: derivative", () => {
  expect(checkDerivative({ op: normaliseOp, attrs, inputs: [x(3, 5)] })).toBeLessThan(1e-6);
  expect(checkDerivative({ op: normaliseOp, attrs: { length: 20 }, inputs: [x(2, 8)] }))
    .toBeLessThan(1e-6);
});
for (const [T, C] of [[1, 1], [5, 3], [3, 64], [4, 65], [3, 255], [2, 1000], [1, 4097]] as const) {
  test(`normalise: [${T}, ${C}]`, async () => {
    await checkKernel({ op: normaliseOp, attrs, inputs: [x(T, C)] });
    await checkKernel({ op: normaliseOp, attrs: { length: 20 }, inputs: [x(T, C)] }, loose);
    const small = { ...x(T, C), scale: 2 / Math.sqrt(C) };
    const inputs = [x(T, C), small, r(T)];
    await checkKernel({ op: normaliseBackward, attrs, inputs }, loose);
  });
}
test("normalise: rows of zeros stay zeros, and their gradient is finite", async () => {
  const zeros = { shape: [2, 4], data: [0, 0, 0, 0, 3, 0, 4, 0] };
  await checkKernel({ op: normaliseOp, attrs, inputs: [zeros] });
  const inputs = [
    { shape: [2, 4], data: [0, 0, 0, 0, 1, 2, 3, 4] },
    zeros,
    { shape: [2], data: [1e12, 0.2] },
  ];
  await checkKernel({ op: normaliseBackward, attrs, inputs });
});
test("normalise: more rows than one dimension of a grid, several subgroups", async () => {
  await checkKernel({ op: folded(normaliseOp), attrs, inputs: [x(65, 64)] });
  await checkKernel({ op: onHardware(normaliseOp), attrs, inputs: [x(2, 500)] });
});
