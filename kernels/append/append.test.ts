import { expect, test } from "bun:test";
import { Graph } from "../../src/graph/graph.ts";
import { checkKernel } from "../check.ts";
import { append, appendOp } from "./append.ts";

for (const sizes of [[1], [9, 1, 2], [130, 3, 64]]) {
  test(`append: ${sizes}`, async () => {
    const inputs = sizes.map((n) => ({ shape: [n] }));
    await checkKernel({ op: appendOp, attrs: null, inputs }, { bound: () => 0 });
  });
}

test("append: rows only", () => {
  const g = new Graph();
  expect(() => append(g, [g.input("x", [2, 2], "f32")])).toThrow("expected rows of f32");
});
