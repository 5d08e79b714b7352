import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { add } from "./add.ts";

const of = (n: number) => ({ op: add, attrs: null, inputs: [{ shape: [n] }, { shape: [n] }] });

test("add: derivative", () => {
  expect(checkDerivative(of(5))).toBeLessThan(1e-6);
});
for (const n of [1, 63, 64, 65, 65_535 * 64 + 1]) {
  test(`add: ${n} elements`, async () => {
    await checkKernel(of(n), { bound: (_o, _i, want) => Math.abs(want) * 2 ** -24 + 1e-12 });
  });
}
