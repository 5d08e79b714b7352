// A table larger than the 128 MiB that one binding of some adapters holds, looked up and projected on.
import { expect, test } from "bun:test";
import { noise, testDevice } from "../kernels/check.ts";
import { embed } from "../kernels/embedding/embedding.ts";
import { linearCrossEntropy } from "../kernels/linear_cross_entropy/linear_cross_entropy.ts";
import { Graph } from "../src/graph/graph.ts";
import { Memory } from "../src/graph/memory.ts";
import { Runner } from "../src/graph/runner.ts";
import { bytesOf } from "../src/graph/tensor.ts";

const V = 150_000, C = 512, T = 8;
const device = await testDevice();

test.skipIf(!device)("an f16 table of 147 MiB is embedding and head", async () => {
  const g = new Graph(), table = g.frozen("table", [V, C], "f16");
  expect(bytesOf(table)).toBeGreaterThan(128 * 2 ** 20);
  const [ids, labels] = [g.input("ids", [T], "u32"), g.input("labels", [T], "u32")];
  const weights = g.input("weights", [T], "f32"), x = embed(g, table, ids);
  const { nll, argmax } = linearCrossEntropy(g, {
    h: x,
    w: table,
    labels,
    weights,
    gradient: true,
  });
  const dh = g.nodes.at(-1)!.outputs[4]!;

  const next = noise(9), memory = new Memory(device!);
  const numbers = new Float16Array(V * C), some = Float16Array.from({ length: 99_991 }, next);
  for (let i = 0; i < numbers.length; i++) numbers[i] = some[i % some.length]!;
  memory.write(table, new Uint8Array(numbers.buffer));
  const runner = await Runner.prepare("big", memory, g.nodes, [x, nll, argmax, dh]);
  const at = [0, 1, 131_071, 131_072, 131_073, 140_000, V - 2, V - 1];
  runner.write(ids, Uint32Array.from(at));
  runner.write(labels, Uint32Array.from(at.toReversed()));
  runner.write(weights, new Float32Array(T).fill(1));
  await runner.run();
  const row = (v: number) => Float32Array.from(numbers.subarray(v * C, (v + 1) * C));
  const [xs, losses, tops, ds] = [
    await runner.read(x),
    await runner.read(nll),
    await runner.readU32(argmax),
    await runner.read(dh),
  ];
  at.forEach((v, t) => expect(xs.subarray(t * C, (t + 1) * C)).toEqual(row(v)));
  for (const t of [0, 5]) {
    const h = row(at[t]!), z = new Float64Array(V);
    for (let v = 0, i = 0; v < V; v++) for (let c = 0; c < C; c++) z[v]! += h[c]! * numbers[i++]!;
    const top = z.reduce((a, b) => Math.max(a, b));
    const sum = z.reduce((a, b) => a + Math.exp(b - top), 0), label = at.at(-1 - t)!;
    expect(tops[t]).toBe(z.indexOf(top));
    expect(Math.abs(losses[t]! - (Math.log(sum) - z[label]! + top))).toBeLessThan(1e-3);
    const d = new Float64Array(C);
    for (let v = 0, i = 0; v < V; v++) {
      const p = Math.exp(z[v]! - top) / sum - (v === label ? 1 : 0);
      for (let c = 0; c < C; c++) d[c]! += p * numbers[i++]!;
    }
    d.forEach((want, c) => expect(Math.abs(ds[t * C + c]! - want)).toBeLessThan(1e-4));
  }
  runner.free();
  memory.free();
}, 120_000);
