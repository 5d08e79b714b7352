import { expect, test } from "bun:test";
import { Graph } from "../../src/graph/graph.ts";
import { Memory } from "../../src/graph/memory.ts";
import { Runner } from "../../src/graph/runner.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { accumulate } from "../accumulate/accumulate.ts";
import { checkKernel, noise, testDevice } from "../check.ts";
import { folded } from "../common/testing.ts";
import { clip } from "../clip/clip.ts";
import { squareSum } from "../square_sum/square_sum.ts";
import { adamw, adamwOp } from "./adamw.ts";
import { hyper, hyperSize } from "./hyper.ts";

const settings = { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01, maxGradNorm: 1 } as const;

for (const n of [1, 3, 64, 65, 255, 1000, 4097]) {
  for (const finite of [1, 0]) {
    test(`adamw: ${n} elements${finite ? "" : ", norm not finite"}`, async () => {
      const next = noise(9),
        of = (scale: number) => Float32Array.from({ length: n }, () => next() * scale);
      const [w, g, m] = [of(1), of(0.1), of(0.01)], v = of(0.001).map(Math.abs);
      const inputs = [
        ...[w, g, m, v].map((data) => ({ shape: [n], data })),
        { shape: [4], data: [0.5, 2, finite, 0] },
        { shape: [hyperSize], data: hyper(settings, 10, 1e-2) },
      ];
      // 4 ulp of the terms of each sum; the update is at most 0.4 of rate times sqrt(1 / (1 - β2)).
      const sizes = [
        (i: number) => Math.abs(w[i]!) + 0.5,
        () => 0,
        (i: number) => Math.abs(m[i]!) + 0.1 * Math.abs(g[i]!),
        (i: number) => v[i]! + 1e-3 * g[i]! ** 2,
      ];
      await checkKernel({ op: n === 4097 ? folded(adamwOp) : adamwOp, attrs: null, inputs }, {
        bound: (o, i) => finite ? 4 * 2 ** -24 * sizes[o]!(i) : 0,
      });
    });
  }
}

/** A parameter whose gradient is written by the host, and one whole update of the arena it lies in. */
async function small(n: number) {
  const device = await testDevice();
  if (!device) return;
  const memory = new Memory(device), graph = new Graph();
  const weight = graph.trained("weight", [n]), { pages: [size] } = memory.layOut([weight]);
  const page = (which: string) => graph.arena(`${which}.0`, [size!]);
  const given = graph.input("given", [n], "f32"), h = graph.input("hyper", [hyperSize], "f32");
  accumulate(graph, graph.gradient(weight), given);
  const [w, g, m, v] = ["w", "g", "m", "v"].map(page) as [Tensor, Tensor, Tensor, Tensor];
  const clipped = clip(graph, squareSum(graph, g), h);
  adamw(graph, { w, g, m, v, clip: clipped, hyper: h });
  const runner = await Runner.prepare("small", memory, graph.nodes, [clipped]);
  return { memory, runner, weight, given, h };
}

test("adamw: 1,000 steps stay within 1e-5 of float64", async () => {
  const n = 321, all = await small(n);
  if (!all) return;
  const { memory, runner, weight, given, h } = all;
  const next = noise(3),
    start = Float32Array.from({ length: n }, next),
    w = Float64Array.from(start);
  const m = new Float64Array(n), v = new Float64Array(n), { betas: [b1, b2], eps } = settings;
  memory.write(weight, start);
  for (let t = 1; t <= 1000; t++) {
    const rate = 1e-3 * Math.min(1, t / 100);
    // Every third gradient is so small that epsilon counts.
    const drawn = start.map((s, i) => (next() * 0.1 + s * 0.02) * (i % 3 === 1 ? 1e-6 : 1));
    runner.write(given, drawn);
    runner.write(h, hyper(settings, t, rate));
    await runner.run();
    // The published form, with nothing shared with hyper(): clip, decay, moments, corrections, step.
    const norm = Math.sqrt(drawn.reduce((s, x) => s + x * x, 0));
    const scale = Math.min(1, settings.maxGradNorm / (norm + 1e-6));
    for (let i = 0; i < n; i++) {
      const a = drawn[i]! * scale;
      w[i]! *= 1 - rate * settings.weightDecay;
      m[i] = b1 * m[i]! + (1 - b1) * a;
      v[i] = b2 * v[i]! + (1 - b2) * a * a;
      w[i]! -= rate * (m[i]! / (1 - b1 ** t)) / (Math.sqrt(v[i]! / (1 - b2 ** t)) + eps);
    }
  }
  const off = (got: Float32Array, want: Float64Array) =>
    Math.hypot(...got.map((x, i) => x - want[i]!)) / Math.hypot(...want);
  expect(off(await memory.read(weight), w)).toBeLessThan(1e-5);
  expect(off(await memory.read(weight, "m"), m)).toBeLessThan(1e-5);
  expect(off(await memory.read(weight, "v"), v)).toBeLessThan(1e-5);
  expect(Math.hypot(...start.map((s, i) => w[i]! - s))).toBeGreaterThan(1);
  runner.free();
  memory.free();
});

test("adamw: one NaN leaves weights and moments as they were, and the next step goes on", async () => {
  const n = 130, all = await small(n);
  if (!all) return;
  const { memory, runner, weight, given, h } = all;
  const state = async () => {
    const which = ["w", "m", "v"] as const;
    return await Promise.all(which.map((a) => memory.read(weight, a).then((x) => [...x])));
  };
  const step = async (t: number, gradient: Float32Array) => {
    runner.write(given, gradient);
    runner.write(h, hyper(settings, t, 1e-2));
    await runner.run();
  };
  const next = noise(8), plain = Float32Array.from({ length: n }, next), bad = plain.slice();
  bad[129] = NaN;
  memory.write(weight, plain);
  await step(1, plain);
  const before = await state();
  await step(2, bad);
  expect(await state()).toEqual(before);
  expect([...await memory.read(weight, "g")]).toEqual(new Array(n).fill(0));
  await step(3, plain);
  const after = await state();
  expect(after).not.toEqual(before);
  expect(after.flat().every(Number.isFinite)).toBe(true);
  runner.free();
  memory.free();
});
