import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { subtractOp } from "./subtract.ts";

const of = (...shape: number[]) => ({
  op: subtractOp,
  attrs: null,
  inputs: [{ shape }, { shape }],
});

test("subtract: derivative", () => expect(checkDerivative(of(3, 5))).toBeLessThan(1e-6));
for (const shape of [[1], [7, 9], [64, 64], [257]]) {
  test(`subtract: ${shape}`, async () => {
    await checkKernel(of(...shape), { bound: (_o, _i, want) => Math.abs(want) * 2 ** -23 });
  });
}
