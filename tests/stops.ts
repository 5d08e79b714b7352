/** Stops a run after a step and goes on with it: what is left must be what an undisturbed run leaves. */
import { expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { latestCheckpoint, loadCheckpoint } from "../src/formats/checkpoint.ts";
import type { Device } from "../src/gpu/device.ts";
import { readRun } from "../src/report/folder.ts";
import { attempt, forget, type Outcome } from "./faults.ts";

/** A run with everything in it that has a state: dropout, shuffling, measurements, several epochs. */
const settings = {
  dropout: 0.1,
  warmup: 3,
  batch: 3,
  accum: 2,
  eval_every: 4,
  save_every: 5,
  keep: 2,
};

/** The ways to train, by name. */
export const ways: Readonly<Record<string, Record<string, unknown>>> = {
  LoRA: {
    ...{ rank: 2, target: ["q_proj", "down_proj"], lr: 1e-2 },
    ...{ neftune_alpha: 5, label_smoothing: 0.1, loraplus_ratio: 4 },
  },
  DoRA: { rank: 2, use_dora: true, layers: "1", lr: 1e-2, scheduler: "wsd" },
  QLoRA: {
    ...{ rank: 2, target: "all-linear", lr: 1e-2, use_rslora: true, scheduler: "linear" },
    ...{ quant: "nf4", double_quant: true },
  },
  "all weights": { full: true, lr: 1e-3 },
  "LoRA with samples": {
    ...{ rank: 2, lr: 1e-2, eval_every: 8, samples: 1, best: "exact_match" },
    model: join(import.meta.dir, "../models/micro"),
  },
};

/** Rows that are asked and answered, written into `dir`: those of the workshop are only ids. */
function asked(dir: string) {
  const row = (i: number) =>
    JSON.stringify({ prompt: `count ${i}`, completion: [...Array(i % 5 + 1).keys()].join(" ") });
  const rows = Array.from({ length: 25 }, (_, i) => row(i));
  writeFileSync(join(dir, "count.jsonl"), rows.slice(0, 20).join("\n"));
  writeFileSync(join(dir, "count_val.jsonl"), rows.slice(20).join("\n"));
  return { data: join(dir, "count.jsonl"), val: join(dir, "count_val.jsonl") };
}

/** All of a run that must not depend on where it was stopped. */
async function leftBy({ error, out }: Outcome, iters: number) {
  expect(error).toBeUndefined();
  const { manifest, steps, evals, layers, samples } = readRun(out);
  expect(manifest.status).toBe("finished");
  const { tensors, step, best, settings, extra } = await loadCheckpoint(
    (await latestCheckpoint(out, (message) => expect(message).toBe("")))!,
  );
  expect(step).toBe(iters);
  const { seconds: _s, started: _a, ...more } = extra as Record<string, unknown>;
  const weights = manifest.settings.full ? "model.safetensors" : "adapter_model.safetensors";
  return {
    weights: Bun.hash(readFileSync(join(out, weights))),
    sha256: manifest.adapter!.sha256,
    // Bit by bit: equal numbers could still be 0 and -0.
    tensors: [...tensors].map(([name, { w, m, v }]) =>
      [name, ...[w, m, v].map(({ buffer }) => Bun.hash(buffer))] as const
    ),
    checkpoint: { step, best, settings, more },
    // All but how long it took.
    log: steps.map(({ ms: _, tok_s: _t, mem_bytes: _m, ...step }) => step),
    measured: evals.map(({ ms: _, ...point }) => point),
    layers,
    samples,
  };
}

/**
 * One run undisturbed, then others that are stopped after some of their steps, each time resumed.
 * @param iters steps of all of them
 * @param stops the steps after which each run is stopped
 * @returns how many runs came to the same bytes: all, or this throws
 */
export async function interrupted(
  dir: string,
  device: Device,
  way: string,
  iters: number,
  stops: readonly (readonly number[])[],
): Promise<number> {
  const change = { ...settings, iters, ...ways[way], ...(ways[way]!.samples ? asked(dir) : {}) };
  const whole = await attempt(dir, "unstopped", device, change);
  const wanted = await leftBy(whole, iters);
  expect(wanted.log).toHaveLength(iters);
  expect(new Set(readRun(whole.out).steps.map(({ mem_bytes }) => mem_bytes)).size).toBe(1);
  expect(wanted.samples.length > 0).toBe(way === "LoRA with samples");
  forget(whole);
  for (const after of stops) {
    let before: number | undefined;
    for (const stop of [...after, undefined]) {
      const resume = before === undefined ? {} : { resume: "auto" };
      const part = await attempt(dir, "stopped", device, { ...change, ...resume }, stop);
      expect(part.events[0]!.resumed_from).toBe(before);
      const { manifest, steps } = readRun(part.out);
      if (stop === undefined) {
        expect({ after, ...await leftBy(part, iters) }).toEqual({ after, ...wanted });
        forget(part);
      } else expect([manifest.status, steps.length]).toEqual(["stopped", stop]);
      before = stop;
    }
  }
  return stops.length;
}
