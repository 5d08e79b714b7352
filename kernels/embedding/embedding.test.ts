import { expect, test } from "bun:test";
import type { DType } from "../../src/graph/tensor.ts";
import { checkDerivative, checkKernel } from "../check.ts";
import { narrow } from "../common/testing.ts";
import { embedding, embeddingBackward, sortByToken } from "./embedding.ts";

const tokens = (T: number, V: number) => Array.from({ length: T }, (_, t) => (t * t * 7 + 3) % V);
function of(T: number, V: number, C: number, dtype: DType = "f32") {
  const ids = tokens(T, V), { order, bounds } = sortByToken(ids, V);
  return {
    op: embedding,
    attrs: null,
    inputs: [
      { shape: [V, C], dtype },
      { shape: [T], dtype: "u32" as const, data: ids },
      { shape: [T], dtype: "u32" as const, data: order },
      { shape: [V + 1], dtype: "u32" as const, data: bounds },
    ],
  };
}

test("sortByToken is stable and counts", () => {
  const { order, bounds } = sortByToken([3, 1, 3, 0, 1, 3], 5);
  expect([...order]).toEqual([3, 1, 4, 0, 2, 5]);
  expect([...bounds]).toEqual([0, 1, 3, 3, 6, 6]);
  expect(() => sortByToken([1, 5], 5)).toThrow("token id 5 at position 1");
});

test("embedding: derivative", () => {
  checkDerivative(of(7, 5, 3));
});

const exact = () => 1e-30;
for (const dtype of ["f32", "f16", "bf16"] as const) {
  for (const [T, V, C] of [[1, 1, 1], [65, 31, 7], [63, 100, 64]] as const) {
    test(`embedding: ${dtype} table [${V}, ${C}], ${T} tokens`, async () => {
      await checkKernel(of(T, V, C, dtype), { bound: exact });
    });
  }
}

for (const [dtype, C] of [["q8_0", 96], ["q6_K", 256], ["q4_K", 256], ["q5_0", 32]] as const) {
  test(`embedding: ${dtype} table [37, ${C}]`, async () => {
    await checkKernel(of(65, 37, C, dtype), { bound: () => 0 });
  });
}

for (const dtype of ["f32", "f16"] as const) {
  test(`embedding: ${dtype} table in bindings of 9,000 bytes`, async () => {
    const c = of(65, 500, 12, dtype);
    await checkKernel({ ...c, op: narrow(c.op, 9000) }, { bound: exact });
  });
}

for (const [T, V, C] of [[1, 1, 1], [200, 11, 5], [127, 1000, 8]] as const) {
  test(`embedding_backward: ${T} tokens into [${V}, ${C}]`, async () => {
    const { order, bounds } = sortByToken(tokens(T, V), V);
    await checkKernel({
      op: embeddingBackward,
      attrs: { vocabulary: V },
      inputs: [
        { shape: [T, C] },
        { shape: [T], dtype: "u32", data: order },
        { shape: [V + 1], dtype: "u32", data: bounds },
      ],
    }, { bound: () => 2 * Math.sqrt(T) * 2 ** -24 * (1 + T / V) });
  });
}
