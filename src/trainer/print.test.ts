import { expect, test } from "bun:test";
import { add } from "../../kernels/add/add.ts";
import { matmul } from "../../kernels/matmul/matmul.ts";
import { Graph } from "../graph/graph.ts";
import { plan } from "../graph/plan.ts";
import { print } from "./print.ts";

test("print() names every output, op and slot, and what is alive at the worst moment", () => {
  const g = new Graph(), x = g.input("x", [64, 8], "f32");
  const wide = g.scope("up", () => matmul(g, x, g.frozen("weight", [32, 8]), { form: "nt" }));
  const y = matmul(g, wide, g.frozen("down", [8, 32]), { form: "nt" });
  const sum = g.add(add, [x, y], null)[0]!;
  const lines = print(g.nodes, plan(g.nodes, [sum])).split("\n");
  expect(lines[0]).toContain("@0 f32[64,32] = matmul(x, up.weight)");
  expect(lines[2]).toContain("= add(x, %");
  expect(lines.slice(3)).toEqual([
    "most is alive at 1:",
    "      0.01 MiB  1 x matmul f32[64,32]  0-1",
    "      0.00 MiB  1 x matmul f32[64,8]  1-3",
  ]);
});
