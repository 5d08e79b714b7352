// A device with less memory than was planned for: once more, smaller, and then the truth.
import { afterAll, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { testDevice } from "../kernels/check.ts";
import { Exit } from "../src/base/fail.ts";
import { readRun } from "../src/report/folder.ts";
import { attempt, type Outcome, weightsIn, workshop } from "./faults.ts";

const device = await testDevice(), dir = await workshop();
afterAll(() => rmSync(dir, { recursive: true }));
const gpu = test.skipIf(!device);

const of = (run: Outcome, kind: string) => run.events.filter(({ event }) => event === kind);
const replans = (run: Outcome) => of(run, "warn").filter(({ code }) => code === "WH0501");
const computed = (run: Outcome) => readRun(run.out).manifest.computed!;
const losses = (run: Outcome) =>
  readRun(run.out).steps.map(({ loss, grad_norm }) => [loss, grad_norm]);

gpu("half the micro-batch gives what a run that began with it gives, byte for byte", async () => {
  const large = { micro_tokens: 256 };
  const roomy = await attempt(dir, "roomy", device!, large);
  const half = await attempt(dir, "half", device!, { micro_tokens: 128 });
  // Somewhere between what the two take.
  const budget = Math.floor((half.peakBytes + roomy.peakBytes) / 2);
  const run = await attempt(dir, "replanned", { budget }, large);
  expect(run.error).toBeUndefined();
  expect(run.peakBytes).toBeLessThanOrEqual(budget);
  expect(replans(run)).toMatchObject([{
    code: "WH0501",
    message: expect.stringMatching(
      /^The GPU has no room for .+: going on with micro-batches of 128/,
    ),
    fix: expect.stringContaining("--micro-tokens 128"),
  }]);
  expect(computed(run)).toMatchObject({ micro_tokens: 128 });
  expect(computed(roomy)).toMatchObject({ micro_tokens: 256, recomputed_blocks: 0 });
  expect(losses(run)).toEqual(losses(half));
  expect(of(run, "end")[0]!.sha256).toBe(of(half, "end")[0]!.sha256);
  // The same mathematics as with large micro-batches, though not the same bits.
  losses(run).forEach(([loss], i) => expect(loss!).toBeCloseTo(losses(roomy)[i]![0]!, 3));
});

gpu("a resumed run keeps the micro-batches that it was begun with", async () => {
  const steady = { scheduler: "constant" };
  const whole = await attempt(dir, "whole", device!, { ...steady, micro_tokens: 128 });
  const begun = { ...steady, micro_tokens: 256, iters: 3 };
  const first = await attempt(dir, "first", { budget: whole.peakBytes }, begun);
  expect(first.error).toBeUndefined();
  expect(computed(first)).toMatchObject({ micro_tokens: 128 });
  // The memory is there now, but other micro-batches would be other numbers.
  const second = await attempt(dir, "first", device!, { ...steady, resume: "auto" });
  expect(second.error).toBeUndefined();
  expect(losses(second)).toEqual(losses(whole));
  expect(computed(second)).toMatchObject({ micro_tokens: 128 });
  const change = { ...steady, resume: "auto", micro_tokens: 256, iters: 9 };
  const other = await attempt(dir, "first", device!, change);
  expect(other.error).toMatchObject({
    exit: Exit.usage,
    why: expect.stringContaining("micro_tokens: 128 -> 256"),
  });
  const allowed = await attempt(dir, "first", device!, { ...change, allow_change: true });
  expect(allowed.error).toBeUndefined();
  expect(computed(allowed)).toMatchObject({ micro_tokens: 256 });
});

gpu("a second failure ends the run, with nothing trained", async () => {
  const run = await attempt(dir, "none", { budget: 100_000 });
  expect(run.error).toMatchObject({
    exit: Exit.memory,
    message: expect.stringContaining("The GPU has no room for"),
    fix: expect.stringContaining("whet plan"),
  });
  expect(replans(run)).toHaveLength(1);
  expect(of(run, "step")).toEqual([]);
  expect(weightsIn(run.out)).toEqual([]);
});

gpu("what cannot fit is refused before a device or a file is touched", async () => {
  const run = await attempt(dir, "refused", {}, { target_mem: "1MB", micro_tokens: 4096 });
  expect(run.error).toMatchObject({
    exit: Exit.memory,
    message: expect.stringMatching(/^this run needs at least .+ of memory, it may take/),
    why: expect.stringContaining("--target-mem 1MB\nweights"),
  });
  expect(run.allocations).toBe(0);
  expect(() => readRun(run.out)).toThrow("holds no run");
});
