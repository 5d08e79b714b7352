import { expect, test } from "bun:test";
import { Graph } from "../../src/graph/graph.ts";
import type { DType } from "../../src/graph/tensor.ts";
import { checkDerivative, checkKernel, noise } from "../check.ts";
import { asHere, narrow } from "../common/testing.ts";
import { runReference } from "../reference.ts";
import { magnitudeGradientOp, magnitudeOp, rowNorm, rowNormOp } from "./dora.ts";

const magnitude = (T: number, C: number, bias: boolean) => ({
  op: magnitudeOp,
  attrs: { bias },
  inputs: [
    { shape: [T, C] },
    { shape: [C] },
    {
      shape: [C],
      data: Array.from({ length: C }, (_, c) => c === 2 ? 0 : 1 + c / C),
      grad: false as const,
    },
    ...(bias ? [{ shape: [C] }] : []),
  ],
});

for (const bias of [false, true]) {
  test(`magnitude: derivative${bias ? ", bias" : ""}`, () => {
    expect(checkDerivative(magnitude(3, 5, bias))).toBeLessThan(1e-6);
  });
  for (const [T, C] of [[1, 1], [5, 7], [64, 64], [33, 130]] as const) {
    test(`magnitude: [${T}, ${C}]${bias ? ", bias" : ""}`, async () => {
      const bound = (_o: number, _i: number, want: number) => (Math.abs(want) + 1) * 2 ** -21;
      await checkKernel(magnitude(T, C, bias), { bound });
    });
  }
}
for (const [T, C] of [[1, 1], [70, 7], [300, 64], [1000, 12]] as const) {
  test(`magnitude_gradient: [${T}, ${C}]`, async () => {
    const inputs = [{ shape: [T, C] }, { shape: [T, C] }, magnitude(T, C, false).inputs[2]!];
    const bound = () => Math.sqrt(T) * 2 ** -20;
    await checkKernel({ op: magnitudeGradientOp, attrs: null, inputs }, { bound });
  });
}

const norm = (N: number, K: number, R: number, dtype: DType = "f32") => ({
  op: rowNormOp,
  attrs: { scale: 0.75 },
  inputs: [
    { shape: [N, K], dtype, grad: false as const },
    { shape: [N, R], scale: 0.1 },
    { shape: [R, N], scale: 0.1 },
    { shape: [R, R], scale: 0.1 },
  ],
});
const cases: [number, number, number, DType, number?][] = [
  [1, 4, 1, "f32"],
  [7, 21, 3, "f32"],
  [33, 64, 8, "f16"],
  [9, 31, 2, "bf16"],
  [40, 132, 16, "bf16"],
  [36, 128, 8, "nf4"],
  [36, 128, 8, "nf4_double"],
  [5, 67, 4, "nf4"],
  [20, 64, 4, "int8"],
  [6, 33, 4, "int8"],
  [300, 40, 4, "f16", 20_000],
];
for (const [N, K, R, dtype, bytes] of cases) {
  test(`row_norm: [${N}, ${K}] of ${dtype}, rank ${R} ${bytes ?? ""}`, async () => {
    const c = norm(N, K, R, dtype), op = bytes ? narrow(c.op, bytes) : c.op;
    await checkKernel({ ...c, op: asHere(op) }, {
      bound: (_o, _i, want) => (1 + Math.abs(want)) * 2e-6,
    });
  });
}

test("row_norm: is the length of the rows of W + s B A", () => {
  const [N, K, R, s] = [6, 9, 3, 1.5], g = new Graph(), next = noise(4);
  const [w, a, b] = [
    g.frozen("w", [N, K]),
    g.trained("a", [R, K]),
    g.trained("b", [N, R]),
  ];
  const made = rowNorm(g, w, a, b, s);
  const [W, A, B] = [N * K, R * K, N * R].map((n) => Float64Array.from({ length: n }, next));
  const got = runReference(g.nodes, new Map([[w, W!], [a, A!], [b, B!]])).get(made)!;
  expect(made.needsGrad).toBe(false);
  got.forEach((v, n) => {
    let sum = 0;
    for (let k = 0; k < K; k++) {
      let x = W![n * K + k]!;
      for (let r = 0; r < R; r++) x += s * B![n * R + r]! * A![r * K + k]!;
      sum += x * x;
    }
    expect(Math.abs(v - Math.sqrt(sum))).toBeLessThan(1e-12);
  });
});
