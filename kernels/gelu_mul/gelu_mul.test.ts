import { expect, test } from "bun:test";
import { checkDerivative, checkKernel, type Operand } from "../check.ts";
import { folded } from "../common/testing.ts";
import { geluMulBackward, geluMulOp } from "./gelu_mul.ts";

const attrs = null, dtype = "f16" as const;
const bound = (_o: number, _i: number, want: number) => 2e-6 * Math.abs(want) + 1e-6;

test("gelu_mul: derivative", () => {
  const inputs = [{ shape: [3, 7], scale: 6 }, { shape: [3, 7] }];
  expect(checkDerivative({ op: geluMulOp, attrs, inputs })).toBeLessThan(1e-6);
  const half = [{ shape: [2, 8], dtype }, { shape: [2, 8], dtype }];
  expect(checkDerivative({ op: geluMulOp, attrs, inputs: half })).toBeLessThan(1e-6);
});
for (const n of [4, 64, 1000, 4096]) {
  test(`gelu_mul: ${n} elements in f16`, async () => {
    const [wide, narrow] = [{ shape: [n], scale: 12, dtype }, { shape: [n], dtype }];
    await checkKernel({ op: geluMulOp, attrs, inputs: [wide, narrow] }, { bound });
    const inputs = [{ shape: [n] }, wide, narrow];
    await checkKernel({ op: geluMulBackward, attrs, inputs }, { bound });
  });
}
test("gelu_mul: a product that f16 cannot hold is stored as the largest number it can", async () => {
  const data = [300, -65504, 60_000, 255.5], up = [300, 2, -60_000, 255.5];
  const inputs = [{ shape: [4], data, dtype }, { shape: [4], data: up, dtype }];
  await checkKernel({ op: geluMulOp, attrs, inputs }, { bound });
  await checkKernel({ op: geluMulBackward, attrs, inputs: [{ shape: [4] }, ...inputs] }, { bound });
});
test("gelu_mul: two ways of storing do not mix, and rows that are not whole fours are f32", () => {
  const half = { shape: [8], dtype };
  const of = (...inputs: Operand[]) => () => checkDerivative({ op: geluMulOp, attrs, inputs });
  expect(of(half, { shape: [8] })).toThrow("gelu_mul: expected f32, or f16 in rows of whole fours");
  expect(of({ shape: [6], dtype }, { shape: [6], dtype })).toThrow("whole fours");
});
for (const n of [1, 3, 64, 65, 255, 1000, 4097]) {
  test(`gelu_mul: ${n} elements`, async () => {
    const [wide, narrow] = [{ shape: [n], scale: 12 }, { shape: [n] }];
    await checkKernel({ op: geluMulOp, attrs, inputs: [wide, narrow] }, { bound });
    await checkKernel({ op: geluMulBackward, attrs, inputs: [narrow, wide, narrow] }, { bound });
  });
}
test("gelu_mul: more workgroups than one dimension of a grid", async () => {
  const x = { shape: [1001] };
  await checkKernel({ op: folded(geluMulOp), attrs, inputs: [x, x] }, { bound });
  await checkKernel({ op: folded(geluMulBackward), attrs, inputs: [x, x, x] }, { bound });
});
test("gelu_mul: gates far beyond the range of exp", async () => {
  const gate = [-1e30, -1e4, -100, -10.5, -9.5, -6, 6, 9.5, 10.5, 100, 1e4, 1e30];
  const inputs = [{ shape: [12], data: gate }, { shape: [12], data: gate.map(() => 1) }];
  await checkKernel({ op: geluMulOp, attrs, inputs }, { bound });
  await checkKernel({ op: geluMulBackward, attrs, inputs: [inputs[1]!, ...inputs] }, { bound });
});
