/** What must hold after each kind of failure, whenever it comes. */
import { expect } from "bun:test";
import { cpSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Exit, Fail } from "../src/base/fail.ts";
import { listCheckpoints, loadCheckpoint } from "../src/formats/checkpoint.ts";
import type { Device } from "../src/gpu/device.ts";
import type { Faults } from "../src/gpu/faults.ts";
import { readRun } from "../src/report/folder.ts";
import { attempt, forget, type Outcome, weightsIn } from "./faults.ts";

const end = ({ events }: Outcome) => events.find(({ event }) => event === "end");

/** The run that nothing disturbs. */
export async function sound(dir: string, device: Device): Promise<Outcome> {
  const whole = await attempt(dir, "whole", device);
  expect(whole.error).toBeUndefined();
  expect(end(whole)).toMatchObject({ status: "finished" });
  return whole;
}

/** Loses the device at the n-th submit. */
export async function lost(dir: string, device: Device, whole: Outcome, n: number): Promise<void> {
  const broken = await attempt(dir, `lost-${n}`, { loseAtSubmit: n });
  const label = whole.submits[n - 1]!;
  expect(broken.error).toBeInstanceOf(Fail);
  expect(broken.error).toMatchObject({
    exit: Exit.gpu,
    message: `The GPU was lost during ${label}`,
    fix: expect.stringContaining("--resume"),
  });
  expect(end(broken)).toBeUndefined();
  expect(readRun(broken.out).manifest).toMatchObject({ status: "failed" });
  // Nothing was written after the loss, and what had been written is what the sound run wrote.
  expect(broken.atLoss).toBeDefined();
  expect(weightsIn(broken.out)).toEqual([...broken.atLoss!]);
  for (const { path, step } of listCheckpoints(broken.out)) {
    const twin = join(whole.out, "checkpoints", `step-${step}`);
    expect((await loadCheckpoint(path)).tensors).toEqual((await loadCheckpoint(twin)).tensors);
  }
  const resumed = await attempt(dir, `lost-${n}`, device, { resume: "auto" });
  expect(resumed.error).toBeUndefined();
  expect(end(resumed)!.sha256).toBe(end(whole)!.sha256);
  const losses = (out: string) => readRun(out).steps.map(({ step, loss }) => [step, loss]);
  expect(losses(resumed.out)).toEqual(losses(whole.out));
  forget(broken);
}

/** Byte budgets up to just below what a run needs. */
export const budgets = (peak: number, n: number): number[] =>
  Array.from({ length: n }, (_, i) => Math.floor((peak * (i + 1)) / n) - 1);

/** A run whose memory ends: it goes on smaller, or ends. @returns false when memory was enough */
export async function outOfMemory(dir: string, faults: Faults): Promise<boolean> {
  const name = `memory-${Object.values(faults).join()}`;
  const broken = await attempt(dir, name, faults);
  const ended = broken.error !== undefined;
  if (ended) {
    expect(broken.error).toBeInstanceOf(Fail);
    expect(broken.error).toMatchObject({
      exit: Exit.memory,
      message: expect.stringMatching(/^The GPU has no room for .+ \(\d/),
      fix: expect.stringContaining("whet plan"),
    });
    // Memory ends before the first step or not at all: nothing was trained for nothing.
    expect(broken.events.filter(({ event }) => event === "step")).toEqual([]);
    expect(weightsIn(broken.out)).toEqual([]);
    const left = existsSync(broken.out) ? readdirSync(broken.out) : [];
    expect(left.filter((file) => /tmp|partial/.test(file))).toEqual([]);
  } else expect(end(broken)).toMatchObject({ status: "finished" });
  forget(broken);
  return ended || broken.events.some(({ code }) => code === "WH0501");
}

/** A run that goes on after its checkpoint of step 3 with NaN in the buffers of this label. */
export async function poisoned(
  dir: string,
  device: Device,
  whole: Outcome,
  label: string,
  name: string | undefined,
): Promise<void> {
  const run = `poison-${label}`;
  const third = join(dir, run, "checkpoints/step-3");
  cpSync(join(whole.out, "checkpoints/step-3"), third, { recursive: true });
  const before = weightsIn(join(dir, run));
  const broken = await attempt(dir, run, { poison: label }, { resume: "auto" });
  expect(broken.error).toBeInstanceOf(Fail);
  expect(broken.error).toMatchObject({
    exit: Exit.diverged,
    message: expect.stringContaining("training diverged at step 6: loss"),
    fix: expect.stringContaining("--lr"),
  });
  const warnings = broken.events.filter(({ code }) => code === "WH0601");
  expect(warnings.map(({ code }) => code)).toEqual(["WH0601", "WH0601", "WH0601"]);
  for (const { message } of warnings) {
    expect(message).toContain("was not applied");
    expect(message).toMatch(/; rows at lines \d+(, \d+)+$/);
    if (name !== undefined) expect(message).toContain(`not finite: ${name}`);
  }
  // The weights of the last checkpoint are there, nothing else was written, and the run can go on.
  expect(weightsIn(broken.out)).toEqual(before);
  const resumed = await attempt(dir, run, device, { resume: "auto" });
  expect(end(resumed)!.sha256).toBe(end(whole)!.sha256);
  forget(broken);
}
