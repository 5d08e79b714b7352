import { expect, test } from "bun:test";
import { better } from "./loop.ts";
import { Watch } from "./watch.ts";

const steps = (watch: Watch, from: number, losses: readonly number[]) =>
  losses.flatMap((loss, i) => watch.step(from + i, loss) ?? []);

test("a loss that leaves is told once", () => {
  const watch = new Watch();
  expect(steps(watch, 1, Array.from({ length: 40 }, (_, i) => 3 / (1 + i / 10)))).toEqual([]);
  const said = steps(watch, 41, Array(30).fill(4));
  expect(said).toHaveLength(1);
  expect(said[0]).toContain("the loss rises");
});

test("one bad step, a noisy loss and a step that was not applied are no divergence", () => {
  const watch = new Watch();
  const noisy = Array.from({ length: 200 }, (_, i) => 1 + 0.5 * Math.sin(i));
  noisy[100] = 6;
  noisy[150] = NaN;
  expect(steps(watch, 1, noisy)).toEqual([]);
});

test("a validation loss that rises while the training loss falls is over-fitting", () => {
  const watch = new Watch(), said: (string | undefined)[] = [];
  [1.0, 0.8, 0.85, 0.9, 0.95].forEach((loss, i) => {
    steps(watch, 20 * i, Array.from({ length: 20 }, (_, k) => 1 / (20 * i + k + 1)));
    said.push(watch.measured(20 * (i + 1), loss));
  });
  expect(said.map(Boolean)).toEqual([false, false, false, true, false]);
  expect(said[3]).toContain("since step 40");
});

test("a validation loss that rises with the training loss is not", () => {
  const watch = new Watch();
  [1.0, 1.1, 1.2, 1.3].forEach((loss, i) => {
    steps(watch, 20 * i, Array(20).fill(1 + i / 10));
    expect(watch.measured(20 * (i + 1), loss)).toBeUndefined();
  });
});

test("which weights are the best", () => {
  const best = { step: 1, loss: 1, value: 0.5 };
  expect(better("val_loss", { loss: 1, value: 1 }, undefined)).toBe(true);
  expect(better("val_loss", { loss: 0.9, value: 0.9 }, { step: 1, loss: 1, value: 1 })).toBe(true);
  expect(better("exact_match", { loss: 2, value: 0.6 }, best)).toBe(true);
  expect(better("exact_match", { loss: 0.1, value: 0.4 }, best)).toBe(false);
  expect(better("exact_match", { loss: 0.9, value: 0.5 }, best)).toBe(true);
  expect(better("exact_match", { loss: 1.1, value: 0.5 }, best)).toBe(false);
  expect(better("val_loss", { loss: NaN, value: NaN }, undefined)).toBe(false);
});
