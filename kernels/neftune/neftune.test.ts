import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { neftuneOp } from "./neftune.ts";

/** Sequences of these lengths one after another, and two places that are in none. */
function of(lengths: readonly number[], C: number, alpha = 5, clock = [9, 4]) {
  const spans: number[] = [], reach: number[] = [];
  let start = 0;
  for (const n of lengths) {
    for (let t = start; t < start + n; t++) {
      spans.push(start, t + 1);
      reach.push(t, start + n);
    }
    start += n;
  }
  spans.push(0, 0, 0, 0);
  reach.push(0, 0, 0, 0);
  const T = start + 2, places = { shape: [T, 2], dtype: "u32" as const };
  return {
    op: neftuneOp,
    attrs: { alpha },
    inputs: [
      { shape: [T, C] },
      { ...places, data: spans },
      { ...places, data: reach },
      { shape: [2], dtype: "u32" as const, data: clock },
    ],
  };
}

test("neftune: derivative", () => {
  expect(checkDerivative(of([2, 3], 3))).toBeLessThan(1e-6);
});

test("neftune: uniform within alpha / sqrt(L C) of each sequence, another draw at every step", () => {
  const noise = (clock: number[]) => {
    const { inputs, attrs } = of([100, 400], 64, 5, clock);
    const [x, spans, reach, now] = inputs.map((t, i) =>
      i === 0
        ? new Float64Array(t.shape[0]! * 64)
        : Float64Array.from((t as { data: number[] }).data)
    );
    const node = { inputs: [{ shape: inputs[0]!.shape }] } as never;
    return neftuneOp.reference([x!, spans!, reach!, now!], attrs, node)[0]!;
  };
  const [a, b] = [noise([9, 0]), noise([9, 1])];
  for (const [from, to, L] of [[0, 100, 100], [100, 500, 400]] as const) {
    const most = 5 / Math.sqrt(L * 64), part = a.subarray(from * 64, to * 64);
    const mean = part.reduce((s, v) => s + v, 0) / part.length;
    const square = part.reduce((s, v) => s + v * v, 0) / part.length;
    expect(Math.max(...part.map(Math.abs))).toBeLessThanOrEqual(most);
    expect(Math.abs(mean)).toBeLessThan(most / 25);
    expect(Math.abs(square / (most * most / 3) - 1)).toBeLessThan(0.05);
  }
  expect(a.subarray(500 * 64)).toEqual(new Float64Array(2 * 64));
  expect(a.filter((v, i) => v !== 0 && v === b[i]).length).toBeLessThan(4);
});

for (const [lengths, C] of [[[1], 1], [[3, 61], 5], [[7, 1, 20], 64], [[130], 33]] as const) {
  test(`neftune: sequences of ${lengths} tokens, width ${C}`, async () => {
    const bound = (_o: number, _i: number, want: number) => (Math.abs(want) + 5) * 2 ** -22;
    await checkKernel(of(lengths, C), { bound });
  });
}
