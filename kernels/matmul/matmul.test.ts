import { expect, test } from "bun:test";
import { Fail } from "../../src/base/fail.ts";
import { Graph, type Op } from "../../src/graph/graph.ts";
import type { DType } from "../../src/graph/tensor.ts";
import { checkDerivative, checkKernel } from "../check.ts";
import { bound, checkMatmul, matmulCase, sizes } from "./cases.ts";
import { type Form, matmul, matmulLaunch, matmulOp } from "./matmul.ts";

const forms: readonly Form[] = ["nt", "nn", "tn"];
const dtypes: readonly DType[] = ["f32", "f16", "bf16"];

for (const form of forms) {
  test(`matmul ${form}: derivative`, () => {
    const c = matmulCase({ form, M: 3, N: 5, K: 4, bias: true, add: true });
    expect(checkDerivative(c)).toBeLessThan(1e-6);
  });
}

// Every size, dtype and finish in every form; all their combinations are in matmul.deep.ts.
forms.forEach((form, f) => {
  for (let i = 0; i < 6; i++) {
    const [M, N, K] = [0, 1, 2].map((j) => sizes[(i + 6 * ((j + f) % 3)) % sizes.length]!);
    const dtype = form === "tn" ? "f32" : dtypes[(i + f) % 3]!;
    const bias = i % 2 === 1, add = i % 4 >= 2;
    const name = `${M}x${N}x${K} ${dtype}${bias ? " bias" : ""}${add ? " add" : ""}`;
    test(`matmul ${form}: ${name}`, () =>
      checkMatmul({ form, M: M!, N: N!, K: K!, dtype, bias, add }));
  }
  test(`matmul ${form}: large enough for two blocks of rows`, () =>
    checkMatmul({ form, M: 132, N: 260, K: 128 }));
  test(`matmul ${form}: thin result`, () => checkMatmul({ form, M: 72, N: 8, K: 36 }));
});
test("matmul nt: more than 65,535 workgroups of few rows", () =>
  checkMatmul({ form: "nt", M: 1, N: 16 * 65_535 + 7, K: 1 }));
test("matmul nn: more than 65,535 tiles", () =>
  checkMatmul({ form: "nn", M: 1, N: 32 * 65_535 + 7, K: 1 }));

test("matmulLaunch: adds to what is there", async () => {
  const c = matmulCase({ form: "nn", M: 9, N: 12, K: 20, add: true });
  const accumulate: Op<typeof c.attrs> = {
    name: "accumulate_product",
    updates: [2],
    infer: ([, , y]) => [y!],
    reference: matmulOp.reference,
    launch: ({ inputs: [a, b], outputs: [out], attrs: { form, alpha } }, can) => [
      matmulLaunch({ form, alpha, a: a!, b: b!, out: out!, accumulate: true }, can),
    ],
  };
  await checkKernel({ ...c, op: accumulate }, { bound: bound(c) });
});

test("matmul: operands that do not fit are refused by name", () => {
  const g = new Graph();
  const input = (name: string, shape: number[], dtype: DType = "f32") =>
    g.input(name, shape, dtype);
  const x = input("x", [4, 8]), w = input("w", [3, 7]), half = input("half", [4, 3], "f16");
  expect(() => matmul(g, x, w, { form: "nt" })).toThrow(
    new Fail("matmul nt: the inner sizes of x f32[4, 8] and w f32[3, 7] differ"),
  );
  expect(() => matmul(g, x, half, { form: "tn" })).toThrow(
    new Fail("matmul tn: has no kernel for x f32[4, 8] and half f16[4, 3]"),
  );
  expect(() => matmul(g, x, input("v", [8, 2]), { form: "nn", bias: w })).toThrow(
    new Fail("matmul nn: w f32[3, 7] cannot be added to a result of f32[4, 2]"),
  );
});
