import { expect, test } from "bun:test";
import type { Op } from "../../src/graph/graph.ts";
import { checkKernel, testDevice } from "../check.ts";
import { type Sum, summing } from "./sum.ts";

const code = `
@group(0) @binding(0) var<storage, read> x: array<Sum>;
@group(0) @binding(1) var<storage, read_write> y: array<Sum>;
@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  let first = workgroup_sum(x[lane], lane);
  y[lane] = workgroup_sum(first * f32(lane), lane); // every lane has the first sum, and a second may follow
}`;

/** y[lane] = sum of x · (0 + 1 + … + lanes - 1), for every lane; x has `width` numbers a lane. */
const twice = (lanes: number, sum: Sum): Op<null> => {
  const width = sum === "f32" ? 1 : 2;
  return {
    name: "twice",
    infer: ([x]) => [x!],
    reference: ([x]) => [
      x!.map((_, i) => {
        const all = x!.filter((_, j) => j % width === i % width).reduce((s, v) => s + v, 0);
        return all * lanes * (lanes - 1) / 2;
      }),
    ],
    launch: ({ inputs: [x], outputs: [y] }, can) => [{
      shader: summing({ kernel: { file: "sum.test.ts", code } }, can, lanes, sum),
      workgroups: [1, 1, 1],
      bind: [x!, y!],
    }],
  };
};

for (const lanes of [1, 8, 64]) {
  for (const sum of ["f32", "vec2f"] as const) {
    test(`workgroup_sum: ${lanes} lanes of ${sum}`, async () => {
      const shape = [lanes * (sum === "f32" ? 1 : 2)];
      const { variants } = await checkKernel({
        op: twice(lanes, sum),
        attrs: null,
        inputs: [{ shape }],
      }, {
        bound: (_o, _i, want) => 1e-5 * Math.abs(want) + lanes * lanes * 1e-6,
      });
      const size = (await testDevice())?.capabilities.subgroupSize;
      if (size) expect(variants).toBe(lanes < size ? 1 : 2);
    });
  }
}
