import { expect, test } from "bun:test";
import { Fail } from "../../src/base/fail.ts";
import { Graph, type Op } from "../../src/graph/graph.ts";
import type { DType } from "../../src/graph/tensor.ts";
import { checkDerivative, checkKernel } from "../check.ts";
import { narrow } from "../common/testing.ts";
import { bound, checkMatmul, type MatmulCase, matmulCase } from "./cases.ts";
import { type Form, matmul, matmulLaunch, matmulOp } from "./matmul.ts";

const forms: readonly Form[] = ["nt", "nn", "tn"];

for (const form of ["nt", "nn"] as const) {
  test(`matmul ${form}: derivative with low-rank factors`, () => {
    const c = matmulCase({ form, M: 3, N: 5, K: 4, bias: true, low: 2 });
    expect(checkDerivative(c)).toBeLessThan(1e-6);
  });
}
for (const form of forms) {
  test(`matmul ${form}: derivative`, () => {
    const c = matmulCase({ form, M: 3, N: 5, K: 4, bias: true, add: true });
    expect(checkDerivative(c)).toBeLessThan(1e-6);
    const half = matmulCase({ form, M: 4, N: 8, K: 4, bias: true, left: "f16", out: "f16" });
    expect(checkDerivative(half)).toBeLessThan(1e-6);
  });
}

// Every size once, every dtype and finish; their combinations are in matmul.deep.ts.
const cases: readonly MatmulCase[] = [
  { form: "nt", M: 1, N: 63, K: 17 },
  { form: "nt", M: 7, N: 33, K: 257, dtype: "f16", bias: true },
  { form: "nn", M: 65, N: 2, K: 31, dtype: "bf16", add: true },
  { form: "nn", M: 129, N: 5, K: 8, bias: true },
  { form: "tn", M: 15, N: 127, K: 3, bias: true, add: true },
  { form: "tn", M: 16, N: 64, K: 3 },
  // Four neighbours at a time: the broadcast kernel too where there is one.
  { form: "nt", M: 3, N: 18, K: 68, dtype: "bf16" },
  { form: "nt", M: 21, N: 37, K: 12, dtype: "f16", bias: true, add: true },
  { form: "nn", M: 9, N: 36, K: 20, dtype: "bf16", bias: true },
  { form: "tn", M: 20, N: 40, K: 8, add: true },
  // Blocks of 64 along the rows of b, then across them.
  { form: "nt", M: 21, N: 36, K: 128, dtype: "nf4", bias: true, add: true },
  { form: "nt", M: 21, N: 36, K: 128, dtype: "nf4_double", bias: true, add: true },
  { form: "nt", M: 3, N: 20, K: 64, dtype: "nf4" },
  { form: "nt", M: 3, N: 20, K: 64, dtype: "nf4_double" },
  { form: "nt", M: 132, N: 260, K: 192, dtype: "nf4" },
  { form: "nt", M: 132, N: 260, K: 192, dtype: "nf4_double" },
  { form: "nn", M: 9, N: 128, K: 20, dtype: "nf4", bias: true },
  { form: "nn", M: 9, N: 128, K: 20, dtype: "nf4_double", bias: true },
  { form: "nn", M: 132, N: 192, K: 260, dtype: "nf4", add: true },
  { form: "nn", M: 132, N: 192, K: 260, dtype: "nf4_double", add: true },
  { form: "nt", M: 5, N: 18, K: 37, dtype: "nf4" },
  { form: "nt", M: 5, N: 18, K: 37, dtype: "nf4_double" },
  { form: "nt", M: 21, N: 37, K: 12, dtype: "nf4", add: true },
  { form: "nn", M: 7, N: 33, K: 65, dtype: "nf4" },
  { form: "nn", M: 7, N: 33, K: 65, dtype: "nf4_double" },
  { form: "nn", M: 9, N: 36, K: 20, dtype: "nf4" },
  // With low-rank factors: every kernel, ranks of whole blocks and not.
  { form: "nt", M: 21, N: 36, K: 128, dtype: "nf4_double", bias: true, low: 16 },
  { form: "nt", M: 3, N: 20, K: 64, dtype: "nf4", low: 8 },
  { form: "nn", M: 132, N: 192, K: 260, dtype: "nf4_double", low: 64 },
  { form: "nn", M: 9, N: 36, K: 20, dtype: "f16", low: 6 },
  { form: "nt", M: 21, N: 37, K: 12, dtype: "bf16", bias: true, low: 3 },
  { form: "nt", M: 2, N: 63, K: 17, low: 5 },
  { form: "nn", M: 7, N: 33, K: 65, dtype: "nf4", low: 4 },
  { form: "nt", M: 516, N: 516, K: 20, low: 36 },
  { form: "nt", M: 21, N: 36, K: 128, dtype: "int8", bias: true, add: true },
  { form: "nt", M: 3, N: 18, K: 68, dtype: "int8" },
  { form: "nt", M: 132, N: 260, K: 192, dtype: "int8" },
  { form: "nt", M: 5, N: 19, K: 37, dtype: "int8" },
  { form: "nn", M: 9, N: 128, K: 21, dtype: "int8", bias: true },
  { form: "nn", M: 132, N: 192, K: 260, dtype: "int8", add: true },
  { form: "nn", M: 7, N: 33, K: 65, dtype: "int8" },
  { form: "nn", M: 9, N: 36, K: 20, dtype: "int8" },
  // Blocks of GGUF: rows in fours and not, scales in whole words and not; the rest is in matmul.deep.ts.
  { form: "nt", M: 1, N: 37, K: 256, dtype: "q4_K" },
  { form: "nt", M: 21, N: 36, K: 512, dtype: "q4_K", bias: true, add: true },
  { form: "nt", M: 2, N: 19, K: 768, dtype: "q6_K" },
  { form: "nt", M: 21, N: 37, K: 96, dtype: "q8_0" },
  { form: "nt", M: 70, N: 34, K: 160, dtype: "q5_0", low: 8 },
  { form: "nn", M: 9, N: 256, K: 21, dtype: "q4_K", bias: true },
  // Thin results, which are computed transposed.
  { form: "nt", M: 70, N: 8, K: 36 },
  { form: "nn", M: 72, N: 8, K: 36, add: true },
  { form: "tn", M: 72, N: 16, K: 36 },
  // Large enough for two blocks of rows in a tile, and for the larger tile.
  { form: "nt", M: 516, N: 516, K: 20 },
  { form: "nn", M: 132, N: 260, K: 128 },
  { form: "tn", M: 132, N: 260, K: 128 },
  // Activations in f16: the left operand, the result, and the right operand of a weight's gradient.
  { form: "nt", M: 1, N: 64, K: 20, left: "f16", out: "f16" },
  { form: "nt", M: 3, N: 20, K: 64, left: "f16", out: "f16", dtype: "nf4", bias: true },
  { form: "nt", M: 21, N: 36, K: 12, left: "f16", out: "f16", bias: true, add: true },
  { form: "nt", M: 21, N: 37, K: 12, left: "f16", out: "f16" },
  { form: "nt", M: 132, N: 260, K: 192, left: "f16", out: "f16", dtype: "f16" },
  { form: "nt", M: 70, N: 8, K: 36, left: "f16", out: "f16", add: true },
  { form: "nt", M: 72, N: 16, K: 36, out: "f16", bias: true },
  { form: "nt", M: 516, N: 516, K: 20, left: "f16", out: "f16" },
  { form: "nn", M: 9, N: 36, K: 20, left: "f16", dtype: "bf16" },
  { form: "tn", M: 20, N: 40, K: 8, dtype: "f16" },
  { form: "tn", M: 72, N: 16, K: 36, left: "f16", dtype: "f16" },
  { form: "tn", M: 16, N: 72, K: 36, dtype: "f16" },
  { form: "tn", M: 16, N: 64, K: 3, left: "f16", dtype: "f16" },
  { form: "tn", M: 132, N: 260, K: 127, dtype: "f16" },
  // More than 65,535 workgroups.
  { form: "nt", M: 1, N: 16 * 65_535 + 7, K: 1 },
  { form: "nn", M: 1, N: 32 * 65_535 + 7, K: 1 },
];
for (const c of cases) {
  const { form, M, N, K, left = "f32", dtype = "f32", out = "f32", bias, add, low } = c;
  const finish = `${low ? ` low ${low}` : ""}${bias ? " bias" : ""}${add ? " add" : ""}`;
  const name = `${M}x${N}x${K} ${left} ${dtype} -> ${out}${finish}`;
  test(`matmul ${form}: ${name}`, () => checkMatmul(c));
}

for (
  const [dtype, K] of [
    ["q4_0", 96],
    ["q5_0", 160],
    ["q8_0", 96],
    ["q4_K", 512],
    ["q5_K", 256],
    ["q6_K", 768],
  ] as const
) {
  for (const scale of [1, 1e-3]) { // so small that scales are denormal in f16
    test(`matmul nt: every number of ${dtype}[6, ${K}] · ${scale} to the bit`, async () => {
      const data = Float64Array.from({ length: K * K }, (_, i) => i % (K + 1) === 0 ? 1 : 0);
      const attrs = { form: "nt", alpha: 1, bias: false, add: false } as const;
      const inputs = [{ shape: [K, K], data }, { shape: [6, K], dtype, scale }];
      await checkKernel({ op: matmulOp, attrs, inputs }, { bound: () => 0 });
    });
  }
}

// A product with the identity shows what a kernel makes of codes and scales: every bit must be right.
for (const dtype of ["nf4", "nf4_double"] as const) {
  for (const [N, K] of [[64, 320], [66, 100]] as const) {
    for (const form of ["nt", "nn"] as const) {
      test(`matmul ${form}: every number of ${dtype}[${N}, ${K}] to the bit`, async () => {
        const M = form === "nt" ? K : N;
        const data = Float64Array.from({ length: M * M }, (_, i) => i % (M + 1) === 0 ? 1 : 0);
        const attrs = { form, alpha: 1, bias: false, add: false };
        const inputs = [{ shape: [M, M], data }, { shape: [N, K], dtype }];
        await checkKernel({ op: matmulOp, attrs, inputs }, { bound: () => 0 });
      });
    }
  }
}

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

// Larger than a binding: columns of y, or parts of the sums, come range by range.
const cut: readonly (MatmulCase & { bytes: number })[] = [
  { form: "nt", M: 21, N: 300, K: 36, dtype: "f16", bias: true, low: 8, bytes: 10_000 },
  { form: "nt", M: 9, N: 514, K: 37, dtype: "bf16", bias: true, add: true, bytes: 20_000 },
  { form: "nt", M: 3, N: 264, K: 20, bytes: 11_000 },
  { form: "nn", M: 21, N: 36, K: 300, dtype: "f16", low: 8, bytes: 10_000 },
  { form: "nn", M: 9, N: 37, K: 514, dtype: "bf16", bias: true, add: true, bytes: 20_000 },
  { form: "nn", M: 66, N: 20, K: 263, bytes: 11_000 },
];
for (const { bytes, ...c } of cut) {
  const { form, M, N, K, dtype = "f32" } = c;
  test(`matmul ${form}: ${M}x${N}x${K} ${dtype}, in bindings of ${bytes} bytes`, async () => {
    const made = matmulCase(c), dispatches: number[] = [];
    const op: typeof matmulOp = {
      ...made.op,
      launch(node, can) {
        const launches = narrow(matmulOp, bytes).launch(node, can);
        dispatches.push(launches.length);
        return launches;
      },
    };
    const { variants } = await checkKernel({ ...made, op }, { bound: bound(made) });
    if (variants > 0) expect(Math.min(...dispatches)).toBeGreaterThan(1);
  });
}

test("matmul: operands that do not fit are refused by name", () => {
  const g = new Graph();
  const input = (name: string, shape: number[], dtype: DType = "f32") =>
    g.input(name, shape, dtype);
  const x = input("x", [4, 8]), w = input("w", [3, 7]), brain = input("brain", [4, 3], "bf16");
  expect(() => matmul(g, x, w, { form: "nt" })).toThrow(
    new Fail("matmul nt: the inner sizes of x f32[4, 8] and w f32[3, 7] differ"),
  );
  expect(() => matmul(g, x, brain, { form: "tn" })).toThrow(
    new Fail("matmul tn: has no kernel for x f32[4, 8] and brain bf16[4, 3]"),
  );
  expect(() => matmul(g, x, input("v", [8, 2]), { form: "nn", bias: w })).toThrow(
    new Fail("matmul nn: w f32[3, 7] cannot be added to a result of f32[4, 2]"),
  );
});
