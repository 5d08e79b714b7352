import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { folded } from "../common/testing.ts";
import { geluNewBackward, geluNewOp } from "./gelu_new.ts";

const attrs = null, dtype = "f16" as const;
const bound = (_o: number, _i: number, want: number) => 2e-6 * Math.abs(want) + 1e-6;

test("gelu_new: derivative", () => {
  const inputs = [{ shape: [40], scale: 4 }];
  expect(checkDerivative({ op: geluNewOp, attrs, inputs })).toBeLessThan(1e-6);
  expect(checkDerivative({ op: geluNewOp, attrs, inputs: [{ shape: [40], dtype }] }))
    .toBeLessThan(1e-6);
});
for (const n of [4, 64, 1000, 4096]) {
  test(`gelu_new: ${n} elements in f16`, async () => {
    const x = { shape: [n], scale: 8, dtype };
    await checkKernel({ op: geluNewOp, attrs, inputs: [x] }, { bound });
    await checkKernel({ op: geluNewBackward, attrs, inputs: [{ shape: [n] }, x] }, { bound });
  });
}
for (const n of [1, 3, 64, 65, 255, 1000, 4097]) {
  test(`gelu_new: ${n} elements`, async () => {
    const x = { shape: [n], scale: 8 };
    await checkKernel({ op: geluNewOp, attrs, inputs: [x] }, { bound });
    await checkKernel({ op: geluNewBackward, attrs, inputs: [{ shape: [n] }, x] }, { bound });
  });
}
test("gelu_new: more workgroups than one dimension of a grid", async () => {
  const x = { shape: [1001] };
  await checkKernel({ op: folded(geluNewOp), attrs, inputs: [x] }, { bound });
  await checkKernel({ op: folded(geluNewBackward), attrs, inputs: [x, x] }, { bound });
});
test("gelu_new: arguments far beyond the range of exp", async () => {
  const data = [-1e30, -1e15, -1e4, -100, -10.5, -9.5, -6, 6, 9.5, 10.5, 100, 1e4, 1e15, 1e30];
  const x = { shape: [data.length], data }, one = { shape: [data.length], data: data.map(() => 1) };
  await checkKernel({ op: geluNewOp, attrs, inputs: [x] }, { bound });
  await checkKernel({ op: geluNewBackward, attrs, inputs: [one, x] }, { bound });
});
