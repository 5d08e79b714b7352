import { expect, test } from "bun:test";
import { Memory } from "../../src/graph/memory.ts";
import { Graph } from "../../src/graph/graph.ts";
import { Runner } from "../../src/graph/runner.ts";
import { hyper, hyperSize } from "../adamw/hyper.ts";
import { checkKernel, testDevice } from "../check.ts";
import { squareSum } from "../square_sum/square_sum.ts";
import { clip, clipOp } from "./clip.ts";

const settings = { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01, maxGradNorm: 1 } as const;

for (const sum of [0, 1e-30, 0.25, 1, 4, 1e12, 3e38, Infinity]) {
  for (const maxGradNorm of [1, 0.5, 0]) {
    test(`clip: sum of squares ${sum}, at most ${maxGradNorm || "any"}`, async () => {
      const data = hyper({ ...settings, maxGradNorm }, 1, 1e-3);
      const inputs = [{ shape: [1], data: [sum] }, { shape: [hyperSize], data }];
      await checkKernel({ op: clipOp, attrs: null, inputs }, {
        bound: (_o, _i, want) => 4 * 2 ** -24 * Math.abs(want),
      });
    });
  }
}

test("clip: one NaN or infinity among many gradients is seen", async () => {
  const device = await testDevice();
  if (!device) return;
  const g = new Graph(), memory = new Memory(device);
  const x = g.input("x", [100_000], "f32"), h = g.input("hyper", [hyperSize], "f32");
  const out = clip(g, squareSum(g, x), h);
  const runner = await Runner.prepare("clip", memory, g.nodes, [out]);
  runner.write(h, hyper(settings, 1, 1e-3));
  for (const [bad, finite] of [[1, 1], [NaN, 0], [-Infinity, 0], [1e30, 0], [2, 1]] as const) {
    const data = new Float32Array(100_000);
    data[77_777] = bad;
    runner.write(x, data);
    await runner.run();
    const [scale, norm, seen] = await runner.read(out);
    expect(seen).toBe(finite);
    if (finite) {
      expect(norm).toBe(bad);
      expect(scale).toBeCloseTo(1 / (bad + 1e-6), 6);
    } else expect([scale, Number.isFinite(norm)]).toEqual([0, false]);
  }
  runner.free();
  memory.free();
});
