import { expect, test } from "bun:test";
import { layOut, pack } from "./layout.ts";

const rows = (n: number) =>
  Array.from({ length: n }, (_, i) => ({ tokens: 10 + (i * 37) % 50, targets: 3 + i % 5 }));
const options = { rows: 8, fill: false, epochs: 2, seed: 7, shuffle: true, budget: 512 };

test("pack() keeps every row once and no bin above the budget", () => {
  const lengths = rows(50);
  const bins = pack([...lengths.keys()], lengths, 100);
  expect(bins.flat().toSorted((a, b) => a - b)).toEqual([...lengths.keys()]);
  for (const bin of bins) {
    expect(bin.reduce((sum, row) => sum + lengths[row]!.tokens, 0)).toBeLessThanOrEqual(100);
  }
});

test("an epoch sees every row once, in exactly batch × accumulation rows a step", () => {
  const lengths = rows(30), plan = layOut(lengths, options);
  expect(plan.steps).toBe(8);
  for (const epoch of [0, 1]) {
    const seen = [0, 1, 2, 3].map((i) => plan.at(epoch * 4 + i).micro.flat());
    expect(seen.map((rows) => rows.length)).toEqual([8, 8, 8, 6]);
    expect(seen.flat().toSorted((a, b) => a - b)).toEqual([...lengths.keys()]);
  }
  expect(plan.at(0)).not.toEqual(plan.at(4));
  expect(plan.at(5)).toEqual(layOut(lengths, options).at(5));
});

test("every micro-batch fits the packed size", () => {
  for (const fill of [false, true]) {
    const lengths = rows(200), plan = layOut(lengths, { ...options, fill, rows: 4 });
    for (let step = 0; step < plan.steps; step++) {
      for (const bin of plan.at(step).micro) {
        const sum = (key: "tokens" | "targets") =>
          bin.reduce((n, row) => n + lengths[row]![key], 0);
        expect(sum("tokens")).toBeLessThanOrEqual(plan.size.tokens);
        expect(sum("targets")).toBeLessThanOrEqual(plan.size.targets);
      }
    }
  }
});

test("without shuffling the rows come in order; epochs may be a fraction", () => {
  const plan = layOut(rows(16), { ...options, shuffle: false, epochs: 0.5 });
  expect(plan.steps).toBe(1);
  expect(plan.at(0).micro.flat().toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

test("an empty dataset is refused in the documented words", () => {
  expect(() => layOut([], options)).toThrow(
    "Cannot train with empty dataset. No training examples available after formatting.",
  );
});
