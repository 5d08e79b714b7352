import { expect, test } from "bun:test";
import { Fail } from "../../src/base/fail.ts";
import { backward } from "../../src/graph/backward.ts";
import { Graph } from "../../src/graph/graph.ts";
import { count, type DType, type Tensor } from "../../src/graph/tensor.ts";
import { add } from "../add/add.ts";
import { type Case, checkDerivative, checkKernel, noise } from "../check.ts";
import { matmul } from "../matmul/matmul.ts";
import { runReference } from "../reference.ts";
import { lora, type LoraAttrs, loraOp } from "./lora.ts";

interface Sizes {
  T: number;
  N: number;
  K: number;
  R: number;
  dtype?: DType;
  /** How x, what the adapter sees, and y are stored. */
  stored?: "f16";
}

function of(
  { T, N, K, R, dtype = "f32", stored }: Sizes,
  { seen = false, bias = false },
): Case<LoraAttrs> {
  return {
    op: loraOp,
    attrs: { scale: 0.75, seen, bias, out: stored },
    inputs: [
      { shape: [T, K], dtype: stored },
      { shape: [N, K], dtype, grad: false },
      { shape: [R, K] },
      { shape: [N, R] },
      ...(seen ? [{ shape: [T, K], dtype: stored }] : []),
      ...(bias ? [{ shape: [N] }] : []),
    ],
  };
}

for (const seen of [false, true]) {
  for (const bias of [false, true]) {
    test(`lora: derivative${seen ? ", adapter sees another input" : ""}${bias ? ", bias" : ""}`, () => {
      expect(checkDerivative(of({ T: 3, N: 5, K: 4, R: 2 }, { seen, bias }))).toBeLessThan(1e-6);
      const half = of({ T: 3, N: 8, K: 4, R: 2, stored: "f16" }, { seen, bias });
      expect(checkDerivative(half)).toBeLessThan(1e-6);
    });
  }
}

const cases: [Sizes, { seen?: boolean; bias?: boolean }][] = [
  [{ T: 1, N: 1, K: 1, R: 1 }, {}],
  [{ T: 33, N: 36, K: 128, R: 8, dtype: "nf4_double" }, { bias: true }],
  [{ T: 5, N: 68, K: 64, R: 16, dtype: "nf4" }, { seen: true }],
  [{ T: 7, N: 31, K: 21, R: 3, dtype: "bf16" }, { seen: true, bias: true }],
  [{ T: 66, N: 40, K: 20, R: 64, dtype: "f16" }, {}],
  [{ T: 33, N: 36, K: 128, R: 8, dtype: "nf4", stored: "f16" }, { seen: true, bias: true }],
  [{ T: 3, N: 40, K: 64, R: 3, stored: "f16" }, {}],
];
for (const [sizes, change] of cases) {
  test(`lora: ${JSON.stringify(sizes)} ${JSON.stringify(change)}`, async () => {
    const { K, R } = sizes;
    // A sum of K + R products, R of which hold a sum of K.
    const most = K + R * K;
    await checkKernel(of(sizes, change), {
      bound: () => (2 * Math.sqrt(K + R) + 16) * 2 ** -24 * most,
    });
  });
}

test("lora: factors that do not fit are refused by name", () => {
  const g = new Graph();
  const [x, w] = [g.input("x", [4, 8], "f32"), g.frozen("w", [6, 8], "f16")];
  const [a, b] = [g.trained("A", [2, 8]), g.trained("B", [6, 3])];
  expect(() => lora(g, { x, w, a, b, scale: 1 })).toThrow(
    new Fail("matmul nt: B f32[6, 3] cannot be added to a result of f32[4, 6]"),
  );
});

test("lora: with dropout, x gets one gradient, and it is that of both ways", () => {
  const g = new Graph(), next = noise(9), given = new Map<Tensor, Float64Array>();
  const drawn = (t: Tensor) => {
    given.set(t, Float64Array.from({ length: count(t.shape) }, next));
    return t;
  };
  const x = drawn(g.trained("x", [6, 4])), w = drawn(g.frozen("w", [5, 4]));
  const a = drawn(g.trained("a", [2, 4])), b = drawn(g.trained("b", [5, 2]));
  const clock = g.input("clock", [2], "u32");
  given.set(clock, Float64Array.of(7, 1));
  const y = lora(g, { x, w, a, b, scale: 0.75, drop: { p: 0.4, stream: 3 }, clock });
  const row = matmul(g, drawn(g.frozen("row", [1, 6])), y, { form: "nn" });
  const loss = matmul(g, row, drawn(g.frozen("column", [1, 5])), { form: "nt" });
  const forward = g.nodes.slice(), gradients = new Map<Tensor, Tensor[]>();
  const trained = (t: Tensor, d: Tensor) => gradients.set(t, [...gradients.get(t) ?? [], d]);
  backward(g, loss, { sum: add, trained });
  const after = runReference(g.nodes, given);
  for (const t of [x, a, b]) {
    expect(gradients.get(t)).toHaveLength(1);
    const at = given.get(t)!, got = after.get(gradients.get(t)![0]!)!;
    at.forEach((keep, i) => {
      const moved = (v: number) => (at[i] = v, runReference(forward, given).get(loss)![0]!);
      const slope = (moved(keep + 1e-5) - moved(keep - 1e-5)) / 2e-5;
      at[i] = keep;
      expect(Math.abs(slope - got[i]!)).toBeLessThan(1e-8);
    });
  }
});
