import { expect, test } from "bun:test";
import { checkDerivative, checkKernel, noise } from "../check.ts";
import { ktoLossOp } from "./kto_loss.ts";

/** Every seventh place holds no row, and what must not be looked at; `far` is how far the policy went. */
function of(N: number, beta: number, kl: boolean, far: number) {
  const next = noise(N), none = (n: number) => n % 7 === 5;
  const data = (size: number) =>
    Array.from({ length: 2 * N }, (_, i) => none(i >> 1) ? NaN : size + 3 * next());
  const rows = Array.from({ length: N }, (_, n) => {
    const t = n % 3 === 0 ? 1 : -1;
    return none(n) ? [0, 9, 9, 9] : [t, (t > 0 ? 1 : 1.5) / N, 2 / N, 1 / N];
  });
  return {
    op: ktoLossOp,
    attrs: { beta, kl },
    inputs: [
      { shape: [2 * N, 1], data: data(20) },
      { shape: [2 * N], data: data(-20 - far), grad: false as const },
      { shape: [N, 4], data: rows.flat(), grad: false as const },
    ],
  };
}

test("kto_loss: derivative where the distance has none", () => {
  expect(checkDerivative(of(9, 0.3, false, 0), [0], 1e-5)).toBeLessThan(1e-6);
  // Answers to other prompts say nothing here: they lie so that the distance is cut off at 0.
  expect(checkDerivative(of(9, 0.3, true, -40), [0], 1e-5)).toBeLessThan(1e-6);
});

for (const kl of [false, true]) {
  for (const [N, beta, far] of [[1, 0.1, 1], [9, 0.5, 2], [65, 0.1, -9], [130, 2, 1]] as const) {
    test(`kto_loss: ${N} rows, beta ${beta}${kl ? ", from the distance" : ""}`, async () => {
      await checkKernel(of(N, beta, kl, far), {
        bound: (_o, _i, want) => 1e-6 * Math.max(1, Math.abs(want)),
      });
    });
  }
}

test("kto_loss: the distance moves every reward, and has no gradient", () => {
  const at = (nll: number[]) =>
    ktoLossOp.reference(
      [nll, [-5, -5, -5, -5], [1, 0.5, 1, 0.5, -1, 0.5, 1, 0.5]].map((x) => Float64Array.from(x)),
      { beta: 0.1, kl: true },
      undefined as never,
    );
  const [loss, dnll, measures] = at([4, 3, 6, 4]);
  expect(measures![1]).toBeCloseTo(1.5, 12);
  const s = (x: number) => 1 / (1 + Math.exp(-x));
  expect(loss![0]).toBeCloseTo(0.5 * s(-0.1 * (1 - 1.5)) + 0.5 * s(0.1 * (-1 - 1.5)), 12);
  expect([dnll![1], dnll![3]]).toEqual([0, 0]);
});
