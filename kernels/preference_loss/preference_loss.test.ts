import { expect, test } from "bun:test";
import { checkDerivative, checkKernel, noise } from "../check.ts";
import { losses, type LossName } from "./losses.ts";
import { preferenceLossOp } from "./preference_loss.ts";

/** Every seventh place holds no pair, and what must not be looked at. */
function of(loss: LossName, P: number, beta: number, smoothing: number, spread = 2) {
  const next = noise(P), bounds = [0];
  for (let i = 0; i < 2 * P; i++) bounds.push(bounds.at(-1)! + 1 + (i * 5) % 9);
  const none = (p: number) => p % 7 === 5;
  const data = (size: number) =>
    Array.from({ length: 2 * P }, (_, i) => none(i >> 1) ? NaN : size + spread * next());
  return {
    op: preferenceLossOp,
    attrs: { loss, beta, smoothing },
    inputs: [
      { shape: [2 * P, 1], data: data(20) },
      { shape: [2 * P], data: data(-20), grad: false as const },
      { shape: [2 * P + 1], dtype: "u32" as const, data: bounds },
      {
        shape: [P],
        data: Array.from({ length: P }, (_, p) => none(p) ? 0 : 1 / P),
        grad: false as const,
      },
    ],
  };
}

for (const loss of Object.keys(losses) as LossName[]) {
  const smoothing = ["sigmoid", "robust", "exo_pair"].includes(loss) ? 0.1 : 0;
  test(`preference_loss: derivative of ${loss}`, () => {
    expect(checkDerivative(of(loss, 5, 0.3, smoothing), [0], 1e-5)).toBeLessThan(1e-5);
  });
  for (const [P, beta, spread] of [[1, 0.1, 2], [9, 0.5, 1], [65, 0.1, 8], [130, 2, 3]] as const) {
    test(`preference_loss: ${loss}, ${P} pairs, beta ${beta}`, async () => {
      // A log-ratio of numbers around 20 is off by their rounding, 2^-19; quadratic losses and their
      // slopes by as much times their size, which 1/2β adds to.
      const slope = Math.max(1, 2 * beta, 4 * spread + 1 / beta, beta * 20) * 2 ** -19;
      await checkKernel(of(loss, P, beta, smoothing, spread), {
        bound: (_o, _i, want) => slope + 4e-6 * Math.abs(want),
      });
    });
  }
}

test("preference_loss: every loss has the value of its formula written out", () => {
  const [c, r, b, s] = [0.7, -0.4, 0.1, 0.1], g = (x: number) => 1 / (1 + Math.exp(-x));
  const z = b * (c - r), pair = { c, r, chosen: 4, rejected: 3, beta: b, smoothing: s };
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
  };
  for (const name of Object.keys(losses) as LossName[]) {
    expect(Math.abs(losses[name].of(pair) - want[name])).toBeLessThan(1e-12);
  }
});
