import { expect, test } from "bun:test";
import { checkDerivative, checkKernel, noise, type Operand } from "../check.ts";
import { blockRows } from "../common/blocks.ts";
import { folded, onHardware } from "../common/testing.ts";
import { layernormDwb, layernormDx, layernormOp } from "./layernorm.ts";

const attrs = { eps: 1e-5 }, half = { ...attrs, out: "f16" as const };
const x = (...shape: number[]): Operand => ({ shape, scale: 2 });
const stats = (T: number): Operand => ({
  shape: [T, 2],
  data: Array.from({ length: 2 * T }, (_, i) => (i % 2 ? 0.5 : 0.1) + (i % 7) / 6),
});
// A sum over C of |h · x̂| stays below 15 C here, and its error times |x̂| reaches every element.
const loose = { bound: (_o: number, _i: number, want: number) => 4e-6 * Math.abs(want) + 1e-5 };

for (const [T, C] of [[3, 5], [2, 24], [70, 3]] as const) {
  test(`layernorm: derivative [${T}, ${C}]`, () => {
    const c = { op: layernormOp, attrs, inputs: [x(T, C), x(C), x(C)] };
    expect(checkDerivative(c)).toBeLessThan(1e-6);
  });
}
const shapes = [[5, 3], [3, 64], [4, 65], [3, 255], [2, 1000], [1, 4097], [2, 8192]];
for (const [T, C] of shapes as [number, number][]) {
  test(`layernorm: [${T}, ${C}]`, async () => {
    await checkKernel({ op: layernormOp, attrs, inputs: [x(T, C), x(C), x(C)] });
    await checkKernel({ op: layernormOp, attrs: half, inputs: [x(T, C), x(C), x(C)] });
    const inputs = [x(T, C), x(T, C), x(C), stats(T)];
    await checkKernel({ op: layernormDx, attrs, inputs }, loose);
  });
}
test("layernorm: one channel is its own mean", async () => {
  await checkKernel({ op: layernormOp, attrs, inputs: [x(3, 1), x(1), x(1)] });
});
for (const [T, C] of [[1, 3], [65, 64], [1000, 5], [4097, 4]] as const) {
  test(`layernorm: gradients of gain and bias, [${T}, ${C}]`, async () => {
    const L = Math.min(T, blockRows(T)); // rows that one lane adds, each product below 9
    await checkKernel({ op: layernormDwb, attrs: null, inputs: [x(T, C), x(T, C), stats(T)] }, {
      bound: () => 2 * Math.sqrt(L) * 2 ** -24 * 9 * L,
    });
  });
}
test("layernorm: more rows than one dimension of a grid", async () => {
  await checkKernel({ op: folded(layernormOp), attrs, inputs: [x(65, 64), x(64), x(64)] });
  const inputs = [x(65, 64), x(65, 64), x(64), stats(65)];
  await checkKernel({ op: folded(layernormDx), attrs, inputs }, loose);
  await checkKernel({
    op: folded(layernormDwb),
    attrs: null,
    inputs: [inputs[0]!, inputs[1]!, stats(65)],
  }, loose);
});
test("layernorm: a mean a million times the deviation costs no digits", async () => {
  const next = noise(4), data = Array.from({ length: 1000 }, () => 2 ** 20 + next());
  const ones = { shape: [1000], data: data.map(() => 1) }, row = { shape: [1, 1000], data };
  await checkKernel({ op: layernormOp, attrs, inputs: [row, ones, x(1000)] });
});
test("layernorm: workgroups of several subgroups", async () => {
  await checkKernel({ op: onHardware(layernormOp), attrs, inputs: [x(2, 500), x(500), x(500)] });
});
test("layernorm: a gain that does not fit is named", () => {
  expect(() => checkDerivative({ op: layernormOp, attrs, inputs: [x(2, 6), x(4), x(6)] }))
    .toThrow("in1 f32[4] does not fit the last axis of in0 f32[2, 6]");
});
