import { expect, test } from "bun:test";
import { Graph } from "../../src/graph/graph.ts";
import { Memory } from "../../src/graph/memory.ts";
import { Runner } from "../../src/graph/runner.ts";
import { checkKernel, noise, testDevice } from "../check.ts";
import { ASK, askOf, draw, sample, sampleOp, type Sampling, tokenBits } from "./sample.ts";

const greedy: Sampling = { temperature: 0, topP: 1, seed: 1 };

test("sample: the likeliest, ties to the lowest id, penalties, nothing for who has nothing left", async () => {
  const V = 300, next = noise(3);
  const logits = Float64Array.from({ length: 4 * V }, () => Math.round(next() * 20) / 4);
  const words = Math.ceil(V / 32);
  const bits = [[], [3, 50, 299], [], [0]].flatMap((ids) => [...tokenBits(ids, V)]);
  const penal = { ...greedy, repetitionPenalty: 1.5 };
  await checkKernel({
    op: sampleOp,
    attrs: null,
    inputs: [
      { shape: [4, V], data: logits, grad: false },
      {
        shape: [4, ASK],
        dtype: "u32",
        data: [greedy, penal, greedy, penal].flatMap((s, i) => [...askOf(s, i, 3)]),
      },
      { shape: [4, 4], dtype: "u32", data: [0, 2, 1, 0, 0, 5, 9, 0, 0, 2, 0, 0, 0, 7, 1, 0] },
      { shape: [4, words], dtype: "u32", data: bits },
      { shape: [4, words], dtype: "u32", data: Array(4 * words).fill(0) },
    ],
  });
});

test("sample: only what is allowed, greedily and drawn, whatever is likelier", async () => {
  const V = 301, next = noise(5), words = Math.ceil(V / 32);
  const logits = Float64Array.from({ length: 4 * V }, () => Math.round(next() * 20) / 4);
  const may = [[300], [7, 8, 299], [0, 64], [250]];
  const how: Sampling[] = [
    greedy,
    { ...greedy, temperature: 1, topK: 50 },
    { ...greedy, temperature: 2, topP: 0.9, minP: 0.01 },
    { ...greedy, temperature: 0.7 },
  ];
  const row = (s: Sampling, i: number) => [...askOf({ ...s, constrained: true }, i, 3)];
  await checkKernel({
    op: sampleOp,
    attrs: null,
    inputs: [
      { shape: [4, V], data: logits, grad: false },
      { shape: [4, ASK], dtype: "u32", data: how.flatMap(row) },
      { shape: [4, 4], dtype: "u32", data: Array(4).fill([0, 9, 3, 0]).flat() },
      { shape: [4, words], dtype: "u32", data: Array(4 * words).fill(0) },
      { shape: [4, words], dtype: "u32", data: may.flatMap((ids) => [...tokenBits(ids, V)]) },
    ],
  });
  how.forEach((s, i) => {
    const z = logits.subarray(i * V, (i + 1) * V), ask = Uint32Array.from(row(s, i));
    const { token } = draw(z, ask, [0], 9, tokenBits(may[i]!, V));
    expect(may[i]).toContain(token);
  });
});

// All ways of drawing over many logits, flat and peaked: the token of the float64 meaning, but where
// that is so near another one that f32 may fall on either side.
const device = await testDevice();
test.skipIf(!device)("sample: 1,200 draws as in float64", async () => {
  const S = 40, V = 1001, rounds = 30, words = Math.ceil(V / 32), next = noise(8);
  const random = () => (next() + 1) / 2;
  const g = new Graph(), memory = new Memory(device!);
  const logits = g.input("logits", [S, V], "f32"), ask = g.input("ask", [S, ASK], "u32");
  const cursor = g.input("cursor", [S, 4], "u32"), seen = g.state("seen", [S, words], "u32");
  const allowed = g.input("allowed", [S, words], "u32");
  const y = sample(g, logits, { ask, cursor, seen, allowed });
  const runner = await Runner.prepare("sample", memory, g.nodes, [y]);
  let near = 0;
  for (let round = 0; round < rounds; round++) {
    const z = Float32Array.from({ length: S * V }, (_, i) => next() * 10 * random() ** (i % 4));
    const positions = Array.from({ length: S }, () => 5 + Math.floor(random() * 90));
    const how = positions.map((_, s): Sampling => ({
      temperature: 0.1 + random() * 2,
      topK: s % 2 ? 1 + Math.floor(random() * 100) : 0,
      topP: s % 4 < 2 ? 0.05 + 0.94 * random() : 1,
      minP: s % 8 < 4 ? random() * 0.3 : 0,
      repetitionPenalty: s % 3 ? 1 : 1.2,
      seed: 2 ** 40 + round,
    }));
    const asks = how.map((h, s) => askOf(h, s, 4));
    const bits = how.map(() => tokenBits(Array.from({ length: 9 }, () => random() * V >>> 0), V));
    runner.write(logits, z);
    runner.write(ask, Uint32Array.from(asks.flatMap((a) => [...a])));
    runner.write(cursor, Uint32Array.from(positions.flatMap((p) => [0, p, 1, 0])));
    memory.write(seen, Uint32Array.from(bits.flatMap((b) => [...b])));
    await runner.run();
    const got = await runner.readU32(y);
    how.forEach((_, s) => {
      const { token, doubt } = draw(
        z.subarray(s * V, (s + 1) * V),
        asks[s]!,
        bits[s]!,
        positions[s]!,
      );
      if (got[s] === token) return;
      near++;
      expect([how[s], doubt < 2e-5]).toEqual([how[s], true]);
    });
  }
  expect(near).toBeLessThan(4);
  runner.free();
  memory.free();
});

test("draws follow the probabilities, and top-k, top-p and min-p keep what they should", () => {
  const logits = [0, Math.log(2), Math.log(5), -20], counts = [0, 0, 0, 0];
  const of = (s: Partial<Sampling>, position: number) =>
    draw(logits, askOf({ temperature: 1, topP: 1, seed: 5, ...s }, 1, 0), [0], position).token;
  for (let at = 0; at < 4000; at++) counts[of({}, at)]!++;
  [1 / 8, 2 / 8, 5 / 8, 0].forEach((p, i) =>
    expect(Math.abs(counts[i]! / 4000 - p)).toBeLessThan(0.03)
  );
  for (let at = 0; at < 200; at++) {
    expect(of({ topK: 1 }, at)).toBe(2);
    expect(of({ topK: 2 }, at)).toBeGreaterThan(0);
    expect(of({ topP: 0.6 }, at)).toBe(2);
    expect(of({ topP: 0.7 }, at)).toBeGreaterThan(0);
    expect(of({ minP: 0.3 }, at)).toBeGreaterThan(0);
  }
});
