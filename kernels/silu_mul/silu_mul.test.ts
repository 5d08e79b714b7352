import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { folded } from "../common/testing.ts";
import { siluMulBackward, siluMulOp } from "./silu_mul.ts";

const attrs = null;
const bound = (_o: number, _i: number, want: number) => 2e-6 * Math.abs(want) + 1e-6;

test("silu_mul: derivative", () => {
  const inputs = [{ shape: [3, 7], scale: 6 }, { shape: [3, 7] }];
  expect(checkDerivative({ op: siluMulOp, attrs, inputs })).toBeLessThan(1e-6);
});
for (const n of [1, 3, 64, 65, 255, 1000, 4097]) {
  test(`silu_mul: ${n} elements`, async () => {
    const [wide, narrow] = [{ shape: [n], scale: 12 }, { shape: [n] }];
    await checkKernel({ op: siluMulOp, attrs, inputs: [wide, narrow] }, { bound });
    await checkKernel({ op: siluMulBackward, attrs, inputs: [narrow, wide, narrow] }, { bound });
  });
}
test("silu_mul: more workgroups than one dimension of a grid", async () => {
  const x = { shape: [1001] };
  await checkKernel({ op: folded(siluMulOp), attrs, inputs: [x, x] }, { bound });
  await checkKernel({ op: folded(siluMulBackward), attrs, inputs: [x, x, x] }, { bound });
});
test("silu_mul: gates far beyond the range of exp", async () => {
  const gate = [-1e30, -1e4, -104, -89, -88, -87, -20, 20, 88, 89, 1e4, 1e30];
  const inputs = [{ shape: [12], data: gate }, { shape: [12], data: gate.map(() => 1) }];
  await checkKernel({ op: siluMulOp, attrs, inputs }, { bound });
  await checkKernel({ op: siluMulBackward, attrs, inputs: [inputs[1]!, ...inputs] }, { bound });
});
