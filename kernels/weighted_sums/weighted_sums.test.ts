import { expect, test } from "bun:test";
import { Graph } from "../../src/graph/graph.ts";
import { checkKernel } from "../check.ts";
import { weightedSums, weightedSumsOp } from "./weighted_sums.ts";

for (const S of [1, 64, 257, 1000]) {
  test(`weighted_sums: ${S} numbers, some of them none`, async () => {
    const none = (s: number) => s % 5 === 3;
    await checkKernel({
      op: weightedSumsOp,
      attrs: null,
      inputs: [
        { shape: [S], data: Array.from({ length: S }, (_, s) => none(s) ? NaN : Math.sin(s)) },
        {
          shape: [S, 2],
          data: Array.from({ length: 2 * S }, (_, i) => none(i >> 1) || i % 3 === 0 ? 0 : 1 / S),
        },
      ],
    });
  });
}

test("weighted_sums: two weights for each number", () => {
  const g = new Graph(), x = g.input("x", [3], "f32");
  expect(() => weightedSums(g, x, g.input("w", [3], "f32"))).toThrow("no two weights");
});
