import { expect, test } from "bun:test";
import { Graph, type Node } from "../../src/graph/graph.ts";
import { Memory } from "../../src/graph/memory.ts";
import { Runner } from "../../src/graph/runner.ts";
import { checkDerivative, checkKernel, noise, testDevice } from "../check.ts";
import { losses, type LossName, type PreferenceLoss } from "./losses.ts";
import { type PreferenceAttrs, preferenceLossOp } from "./preference_loss.ts";

/** Every seventh place holds no pair, and what must not be looked at. */
function of(loss: LossName, P: number, beta: number, smoothing: number, spread = 2) {
  const next = noise(P), bounds = Array.from({ length: 2 * P }, (_, i) => [3, 4 + (i * 5) % 9]);
  const none = (p: number) => p % 7 === 5;
  const data = (size: number, by = spread) =>
    Array.from({ length: 2 * P }, (_, i) => none(i >> 1) ? NaN : size + by * next());
  return {
    op: preferenceLossOp,
    attrs: { loss, beta, smoothing, gamma: 0.5 },
    inputs: [
      { shape: [2 * P, 1], data: data(20) },
      { shape: [2 * P], data: alone(loss) ? data(0, 0) : data(-20), grad: false as const },
      { shape: [2 * P, 2], dtype: "u32" as const, data: bounds.flat() },
      {
        shape: [P],
        data: Array.from({ length: P }, (_, p) => none(p) ? 0 : 1 / P),
        grad: false as const,
      },
    ],
  };
}

const smoothed = ["sigmoid", "robust", "exo_pair", "simpo"];
/** They compare with no reference: with log-probabilities only, never above 0. */
const alone = (loss: LossName) => (losses[loss] as PreferenceLoss).average === true;
const names = Object.keys(losses) as LossName[];

for (const loss of names) {
  const smoothing = smoothed.includes(loss) ? 0.1 : 0;
  test(`preference_loss: derivative of ${loss}`, () => {
    expect(checkDerivative(of(loss, 5, 0.3, smoothing), [0], 1e-5)).toBeLessThan(1e-5);
  });
  for (const [P, beta, spread] of [[1, 0.1, 2], [9, 0.5, 1], [65, 0.1, 8], [130, 2, 3]] as const) {
    test(`preference_loss: ${loss}, ${P} pairs, beta ${beta}`, async () => {
      await checkKernel(of(loss, P, beta, smoothing, spread), {
        bound: (_o, _i, want) => 1e-6 * Math.max(1, Math.abs(want)),
      });
    });
  }
}

/** One pair: log-probabilities by policy and reference in f32, and lengths. */
interface Cell {
  readonly nll: readonly [number, number];
  readonly logps: readonly [number, number];
  readonly lengths: readonly [number, number];
}

/** From single likely tokens to long answers that nobody expected, near to the reference and far from it. */
function cells(loss: LossName, count: number): Cell[] {
  const next = noise(11), f32 = Math.fround;
  const pick = (from: readonly number[]) => from[Math.floor((next() + 1) / 2 * from.length)]!;
  return Array.from({ length: count }, () => {
    const size = pick([0.003, 0.7, 5, 20, 20, 150, 900]);
    const lengths = [pick([1, 2, 3, 7, 100, 1023]), pick([1, 3, 5, 40, 511])] as const;
    const nll = [0, 1].map(() => f32(size * (1 + 0.4 * next()))) as [number, number];
    const far = pick([0, 1e-5, 1e-3, 0.1, 1, 10, 60]);
    const logps = nll.map((l) => alone(loss) ? 0 : f32(-l + far * next())) as [number, number];
    return { nll, logps, lengths };
  });
}

/** wgpu in Deno waits 10 ms for every reading. */
const CELLS = "Deno" in globalThis ? 12 : 50;

for (const loss of names) {
  test(`preference_loss: ${loss} of single pairs is its formula in float64 to 1e-6`, async () => {
    const device = await testDevice();
    if (!device) return;
    for (const beta of [0.01, 0.1, 2]) {
      for (const smoothing of smoothed.includes(loss) ? [0.01, 0.4] : [0]) {
        const g = new Graph(), memory = new Memory(device), all = cells(loss, CELLS);
        const weights = g.constant("weights", [1], new Float32Array(1).fill(1));
        const outputs = all.map(({ nll, logps, lengths }, i) => {
          const input = (name: string, shape: number[], data: Float32Array | Uint32Array) =>
            g.constant(`${name} ${i}`, shape, data);
          return g.add(preferenceLossOp, [
            input("nll", [2, 1], Float32Array.from(nll)),
            input("logps", [2], Float32Array.from(logps)),
            input("bounds", [2, 2], Uint32Array.of(2, 2 + lengths[0], 5, 5 + lengths[1])),
            weights,
          ], { loss, beta, smoothing, gamma: 0.7 });
        });
        const read = outputs.flatMap(([, dnll, measures]) => [dnll!, measures!]);
        const runner = await Runner.prepare("grid", memory, g.nodes, read);
        await runner.run();
        for (const [i, { nll, logps, lengths }] of all.entries()) {
          const inputs = [nll, logps, [2, 2 + lengths[0], 5, 5 + lengths[1]], [1]]
            .map((x) => Float64Array.from(x));
          const node = g.nodes.find(({ outputs: [, , m] }) => m === outputs[i]![2])!;
          const [, dnll, measures] = preferenceLossOp.reference(
            inputs,
            node.attrs as PreferenceAttrs,
            node as Node<PreferenceAttrs>,
          );
          const check = (what: string, most: number, got: Float32Array, want: Float64Array) =>
            want.forEach((w, k) => {
              const off = Math.abs(got[k]! - w) / Math.max(1, Math.abs(w));
              if (!(off <= most)) {
                throw new Error(
                  `${what} ${k} of ${JSON.stringify({ beta, smoothing, ...all[i] })}: ` +
                    `got ${got[k]}, want ${w}, off by ${off.toPrecision(3)}`,
                );
              }
            });
          check("measure", 1e-6, await runner.read(outputs[i]![2]!), measures!);
          // Nearer to certainty than this the differences that the derivative is held against are too coarse.
          if (alone(loss) && nll.some((l, i) => l / lengths[i]! < 0.02)) continue;
          check("derivative", 2e-6, await runner.read(outputs[i]![1]!), dnll!);
        }
        runner.free();
        memory.free();
      }
    }
  });
}

test("preference_loss: every loss has the value of its formula written out", () => {
  const [c, r, b, s] = [0.7, -0.4, 0.1, 0.1], g = (x: number) => 1 / (1 + Math.exp(-x));
  const z = b * (c - r), pair = { c, r, chosen: 4, rejected: 3, beta: b, smoothing: s, gamma: 0.5 };
  const want: Record<LossName, number> = {
    sigmoid: -0.9 * Math.log(g(z)) - 0.1 * Math.log(g(-z)),
    hinge: 1 - z,
    ipo: (0.175 + 0.4 / 3 - 5) ** 2,
    ipo_sum: (1.1 - 5) ** 2,
    robust: (-0.9 * Math.log(g(z)) + 0.1 * Math.log(g(-z))) / 0.8,
    exo_pair: g(z) * Math.log(g(z) / 0.9) + g(-z) * Math.log(g(-z) / 0.1),
    nca_pair: -Math.log(g(0.07)) - 0.5 * Math.log(g(-0.07)) - 0.5 * Math.log(g(0.04)),
    bco_pair: -Math.log(g(0.07)) - Math.log(g(0.04)),
    sppo_hard: (0.7 - 5) ** 2 + (-0.4 + 5) ** 2,
    apo_zero: 1 - g(0.07) + g(-0.04),
    apo_down: g(0.07) + 1 - g(0.11),
    discopop: -Math.log(g(z)) * (1 - g(2.2)) + Math.exp(-z) * g(2.2),
    sigmoid_norm: -Math.log(g(0.1 * (0.175 + 0.4 / 3))),
    orpo: 0, // below
    simpo: -0.9 * Math.log(g(z - 0.5)) - 0.1 * Math.log(g(0.5 - z)),
  };
  for (const name of names.filter((name) => name !== "orpo")) {
    expect(Math.abs(losses[name].of(pair) - want[name])).toBeLessThan(1e-12);
  }
  const odds = (p: number) => p / (1 - p), byToken = { ...pair, c: -0.4, r: -1.1 };
  const ratio = Math.log(odds(Math.exp(-0.4)) / odds(Math.exp(-1.1)));
  expect(Math.abs(losses.orpo.of(byToken) + b * Math.log(g(ratio)))).toBeLessThan(1e-12);
});
