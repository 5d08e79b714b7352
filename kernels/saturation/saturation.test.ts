import { expect, test } from "bun:test";
import { Graph } from "../../src/graph/graph.ts";
import { checkKernel } from "../check.ts";
import { folded } from "../common/testing.ts";
import { saturation, saturationOp } from "./saturation.ts";

const MOST = 65504;
function of(n: number, places: readonly number[]) {
  const data = new Float64Array(n).map((_, i) => i % 7 ? 65472 : -3);
  places.forEach((at, i) => data[at] = i % 2 ? MOST : -MOST);
  const total = { shape: [1], dtype: "u32" as const, data: [5] };
  return {
    op: saturationOp,
    attrs: null,
    inputs: [total, { shape: [n], dtype: "f16" as const, data }],
  };
}

for (
  const [n, places] of [
    [4, []],
    [4, [0, 1, 2, 3]],
    [256, [255]],
    [4100, [0, 1, 255, 256, 4095, 4096, 4099]],
    [40_000, Array.from({ length: 300 }, (_, i) => i * 131)],
  ] as [number, number[]][]
) {
  test(`saturation: ${places.length} of ${n}`, async () => {
    await checkKernel(of(n, places), { bound: () => 0.5 });
    await checkKernel({ ...of(n, places), op: folded(saturationOp) }, { bound: () => 0.5 });
  });
}

test("saturation: only f16 has that bound", () => {
  const g = new Graph(), total = g.state("total", [1], "u32");
  expect(() => saturation(g, total, g.input("x", [4], "f32"))).toThrow("expected u32[1] and f16");
});
