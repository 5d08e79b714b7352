import { expect, test } from "bun:test";
import { Graph } from "../../src/graph/graph.ts";
import { Memory } from "../../src/graph/memory.ts";
import { Runner } from "../../src/graph/runner.ts";
import { checkKernel, testDevice } from "../check.ts";
import { folded } from "../common/testing.ts";
import { squareSum, squareSumOp } from "./square_sum.ts";

const bound = (_o: number, _i: number, want: number) => 1e-6 * want;

for (const n of [1, 3, 64, 65, 255, 1000, 4097, 16_384, 16_385, 500_004]) {
  test(`square_sum: ${n} elements`, async () => {
    await checkKernel({ op: squareSumOp, attrs: null, inputs: [{ shape: [n] }] }, { bound });
  });
}
test("square_sum: more workgroups than one dimension of a grid", async () => {
  const inputs = [{ shape: [100_000] }];
  await checkKernel({ op: folded(squareSumOp), attrs: null, inputs }, { bound });
});
test("square_sum: a whole page of the arena, of one sign and size", async () => {
  const device = await testDevice();
  if (!device) return;
  const g = new Graph(), memory = new Memory(device), x = g.input("x", [16 * 2 ** 20], "f32");
  const sum = squareSum(g, x), runner = await Runner.prepare("page", memory, g.nodes, [sum]);
  runner.write(x, new Float32Array(16 * 2 ** 20).fill(0.1));
  await runner.run();
  const want = 16 * 2 ** 20 * Math.fround(0.1) ** 2, [got] = await runner.read(sum);
  expect(Math.abs(got! / want - 1)).toBeLessThan(1e-6);
  runner.free();
  memory.free();
});
test("square_sum: infinity comes through", async () => {
  const data = [1, Infinity, 2, 3];
  await checkKernel({ op: squareSumOp, attrs: null, inputs: [{ shape: [4], data }] }, { bound });
});
