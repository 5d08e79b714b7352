import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { folded } from "../common/testing.ts";
import { contrastiveBackward, contrastiveOp } from "./contrastive.ts";

const attrs = { margin: 0.5 };
const inputs = (N: number) =>
  [
    { shape: [N] },
    { shape: [N], data: Array.from({ length: N }, (_, n) => n % 2), grad: false },
    { shape: [N], data: Array.from({ length: N }, (_, n) => n % 5 === 4 ? 0 : 1 / N), grad: false },
  ] as const;

test("contrastive: derivative", () => {
  expect(checkDerivative({ op: contrastiveOp, attrs, inputs: inputs(40) })).toBeLessThan(1e-6);
});
for (const N of [1, 3, 64, 65, 1000, 4097]) {
  test(`contrastive: ${N} pairs`, async () => {
    await checkKernel({ op: contrastiveOp, attrs, inputs: inputs(N) });
    const all = [{ shape: [1] }, ...inputs(N)];
    await checkKernel({ op: contrastiveBackward, attrs, inputs: all });
    await checkKernel({ op: folded(contrastiveBackward), attrs, inputs: all });
  });
}
test("contrastive: inputs that do not fit are named", () => {
  const wrong = [{ shape: [3] }, { shape: [4] }, { shape: [3] }];
  expect(() => checkDerivative({ op: contrastiveOp, attrs, inputs: wrong })).toThrow("do not fit");
});
