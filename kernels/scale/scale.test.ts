import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { scaleOp } from "./scale.ts";

test("scale: derivative", () => {
  const inputs = [{ shape: [7] }, { shape: [1], grad: false as const }];
  expect(checkDerivative({ op: scaleOp, attrs: null, inputs })).toBeLessThan(1e-6);
});
for (const n of [1, 63, 64, 1001, 4096]) {
  test(`scale: ${n} elements`, async () => {
    const inputs = [{ shape: [n] }, { shape: [1] }];
    const bound = (_o: number, _i: number, want: number) => Math.abs(want) * 2 ** -23;
    await checkKernel({ op: scaleOp, attrs: null, inputs }, { bound });
  });
}
