import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { folded } from "../common/testing.ts";
import { geluBackward, geluOp, normalCdf } from "./gelu.ts";

const attrs = null, dtype = "f16" as const;
const bound = (_o: number, _i: number, want: number) => 2e-6 * Math.abs(want) + 1e-6;

test("gelu: derivative", () => {
  const inputs = [{ shape: [40], scale: 4 }];
  expect(checkDerivative({ op: geluOp, attrs, inputs })).toBeLessThan(1e-6);
  expect(checkDerivative({ op: geluOp, attrs, inputs: [{ shape: [40], dtype }] }))
    .toBeLessThan(1e-6);
});
for (const n of [4, 64, 1000, 4096]) {
  test(`gelu: ${n} elements in f16`, async () => {
    const x = { shape: [n], scale: 8, dtype };
    await checkKernel({ op: geluOp, attrs, inputs: [x] }, { bound });
    await checkKernel({ op: geluBackward, attrs, inputs: [{ shape: [n] }, x] }, { bound });
  });
}
for (const n of [1, 3, 64, 65, 255, 1000, 4097]) {
  test(`gelu: ${n} elements`, async () => {
    const x = { shape: [n], scale: 8 };
    await checkKernel({ op: geluOp, attrs, inputs: [x] }, { bound });
    await checkKernel({ op: geluBackward, attrs, inputs: [{ shape: [n] }, x] }, { bound });
  });
}
test("gelu: more workgroups than one dimension of a grid", async () => {
  const x = { shape: [1001] };
  await checkKernel({ op: folded(geluOp), attrs, inputs: [x] }, { bound });
  await checkKernel({ op: folded(geluBackward), attrs, inputs: [x, x] }, { bound });
});
test("gelu: arguments far beyond the range of exp", async () => {
  const data = [-1e30, -1e15, -1e4, -100, -10.5, -9.5, -6, 6, 9.5, 10.5, 100, 1e4, 1e15, 1e30];
  const x = { shape: [data.length], data }, one = { shape: [data.length], data: data.map(() => 1) };
  await checkKernel({ op: geluOp, attrs, inputs: [x] }, { bound });
  await checkKernel({ op: geluBackward, attrs, inputs: [one, x] }, { bound });
});
test("gelu: the distribution function, near and far out", () => {
  const want: [number, number][] = [ // from tables of 16 digits
    [0, 0.5],
    [1, 0.841344746068542948585],
    [-2, 0.0227501319481792072003],
    [-4.9, 4.79183276590319e-7],
    [-5.1, 1.69826740771476e-7],
    [-10, 7.61985302416052606597e-24],
  ];
  for (const [x, p] of want) expect(Math.abs(normalCdf(x) / p - 1)).toBeLessThan(1e-8);
  expect(normalCdf(40)).toBe(1);
  expect(normalCdf(-Infinity)).toBe(0);
});
