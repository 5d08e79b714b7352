import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { type Dropout, dropoutOp } from "./dropout.ts";

const of = (n: number, attrs: Dropout, dtype: "f32" | "f16" = "f32", seed = 9, step = 4) => ({
  op: dropoutOp,
  attrs,
  inputs: [{ shape: [n], dtype }, { shape: [2], dtype: "u32" as const, data: [seed, step] }],
});

test("dropout: derivative", () => {
  expect(checkDerivative(of(33, { p: 0.4, stream: 2 }))).toBeLessThan(1e-6);
  expect(checkDerivative(of(32, { p: 0.4, stream: 2 }, "f16"))).toBeLessThan(1e-6);
});

test("dropout: drops the share that is asked for, and other elements in another step or stream", () => {
  const x = new Float64Array(40_000).fill(1);
  const kept = (stream: number, step: number) =>
    dropoutOp.reference([x, Float64Array.of(9, step)], { p: 0.25, stream }, undefined as never)[0]!;
  const [a, b, c] = [kept(1, 0), kept(1, 1), kept(2, 0)];
  for (const y of [a, b, c]) {
    expect(Math.abs(y.filter((v) => v === 0).length / x.length - 0.25)).toBeLessThan(0.01);
    expect(new Set(y)).toEqual(new Set([0, 1 / 0.75]));
  }
  const same = a.filter((v, i) => v === b[i]).length, alike = a.filter((v, i) => v === c[i]).length;
  for (const n of [same, alike]) expect(Math.abs(n / x.length - 0.625)).toBeLessThan(0.02);
});

for (const n of [1, 3, 64, 255, 257, 4096, 4097]) {
  test(`dropout: ${n} elements`, async () => {
    const bound = (_o: number, _i: number, want: number) => Math.abs(want) * 2 ** -22;
    await checkKernel(of(n, { p: 0.1, stream: 3 }), { bound });
    if (n % 4 === 0) await checkKernel(of(n, { p: 0.1, stream: 3 }, "f16"), { bound });
  });
}
