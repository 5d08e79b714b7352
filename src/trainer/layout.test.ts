import { expect, test } from "bun:test";
import { apart, balanced } from "./apart.ts";
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

test("no text twice in a batch; every row once an epoch, as many batches in each", () => {
  // Text 0 is in every third row, texts of other rows in one more each.
  const lengths = rows(60).map((row, i) => ({ ...row, texts: [i % 3 ? i : 0, 100 + (i >> 1)] }));
  for (const shuffle of [true, false]) {
    const plan = layOut(lengths, { ...options, epochs: 4, shuffle });
    expect(plan.stepsPerEpoch).toBeGreaterThanOrEqual(20);
    expect(plan.steps).toBe(4 * plan.stepsPerEpoch);
    for (let epoch = 0; epoch < 4; epoch++) {
      const batches = Array.from(
        { length: plan.stepsPerEpoch },
        (_, i) => plan.at(epoch * plan.stepsPerEpoch + i).micro.flat(),
      );
      expect(batches.flat().toSorted((a, b) => a - b)).toEqual([...lengths.keys()]);
      for (const batch of batches) {
        expect(batch.length).toBeWithin(1, options.rows + 1);
        const texts = batch.flatMap((row) => lengths[row]!.texts);
        expect(new Set(texts).size).toBe(texts.length);
      }
    }
  }
});
test("batches take the next rows that fit; without equal texts they are as they would be", () => {
  const texts = [[1], [1], [2], [3], [2]];
  expect(apart([0, 1, 2, 3, 4], texts, 2)).toEqual([[0, 2], [1, 3], [4]]);
  // Rows 0 to 3 have text 9 and cannot meet: the others are spread among them.
  const shared = [[9], [9], [9], [9], [1], [2], [3], [4]];
  const greedy = apart(shared.keys(), shared, 4);
  expect(greedy).toEqual([[0, 4, 5, 6], [1, 7], [2], [3]]);
  expect(balanced(greedy, shared, 4)).toEqual([[0, 4], [1, 7], [2, 6], [3, 5]]);
  const plain = rows(30), own = plain.map((row, i) => ({ ...row, texts: [i] }));
  const [one, other] = [plain, own].map((lengths) => layOut(lengths, options));
  for (let step = 0; step < one!.steps; step++) expect(other!.at(step)).toEqual(one!.at(step));
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
