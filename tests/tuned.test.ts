// A run keeps the kernels that it was begun with, whatever is measured meanwhile.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { openModel } from "../src/architectures/model.ts";
import type { Tuned } from "../src/gpu/device.ts";
import { readTuned, writeTuned } from "../src/gpu/tuned.ts";
import { prepare } from "../src/trainer/prepare.ts";
import { chooseKernels } from "../src/trainer/tuning.ts";
import { attempt, type Outcome, workshop } from "./faults.ts";
import { tinyModel, tinyRows, tinySettings } from "./tiny.ts";

setDefaultTimeout(120_000);
const device = await testDevice();
const gpu = test.skipIf(!device);
const cacheBefore = process.env.WHET_CACHE;
let dir = "", model = "";

beforeAll(async () => {
  dir = await workshop();
  model = await tinyModel();
  process.env.WHET_CACHE = join(dir, "cache");
});
afterAll(() => {
  if (cacheBefore === undefined) delete process.env.WHET_CACHE;
  else process.env.WHET_CACHE = cacheBefore;
  device?.useTuned({});
  for (const made of [dir, model]) rmSync(made, { recursive: true });
});

const sha = ({ events }: Outcome) => events.find(({ event }) => event === "end")!.sha256;
const kernels = ({ out }: Outcome): Record<string, string> =>
  JSON.parse(readFileSync(join(out, "run.json"), "utf8")).kernels;
/** For every kind of a run's work, its last kernel, which is never the default. */
const others = (taken: Tuned): Tuned =>
  Object.fromEntries(Object.keys(taken).map((kind) => [kind, "tile 4x4 16"]));

gpu("a resumed run takes the kernels it was begun with, not those of the cache", async () => {
  const usual = await attempt(dir, "usual", device!);
  expect(usual.error).toBeUndefined();
  expect(Object.keys(kernels(usual)).length).toBeGreaterThan(3);

  await writeTuned(device!.capabilities, others(kernels(usual)));
  const whole = await attempt(dir, "whole", device!);
  expect(kernels(whole)).toEqual(others(kernels(usual)));
  expect(sha(whole)).not.toBe(sha(usual)); // it does matter

  for (const [name, first] of [["usual", usual], ["whole", whole]] as const) {
    const again = `${name}-again`;
    cpSync(join(first.out, "checkpoints/step-3"), join(dir, again, "checkpoints/step-3"), {
      recursive: true,
    });
    const resumed = await attempt(dir, again, device!, { resume: "auto" });
    expect(resumed.error).toBeUndefined();
    expect(kernels(resumed)).toEqual(kernels(first));
    expect(sha(resumed)).toBe(sha(first));
  }
});

gpu("kernels that the device lacks are named, and others take their place", async () => {
  const prepared = prepare(await openModel(model), tinyRows(4), [], ["q_proj"], tinySettings);
  const { kernels } = await chooseKernels(device!, prepared);
  const [kind, way] = Object.entries(kernels)[0]!;
  const changed = await chooseKernels(device!, prepared, { ...kernels, [kind]: "matrix 1x1 1x1" });
  expect(changed.missing).toEqual([
    expect.stringMatching(new RegExp(`^${kind}: .* instead of matrix 1x1 1x1$`)),
  ]);
  expect(Object.keys(changed.kernels)).toEqual(Object.keys(kernels));
  expect((await chooseKernels(device!, prepared, kernels)).missing).toEqual([]);
  expect(device!.capabilities.tuned[kind]).toBe(way);
});

gpu("before the first run on hardware kernels are measured, and kept", async () => {
  const rows = tinyRows(4);
  const prepared = prepare(await openModel(model), rows, rows, ["q_proj"], tinySettings);
  // As a GPU: what is software about it is only that nothing is measured.
  const { capabilities } = device!;
  const gpu = new Proxy(device!, {
    get(target, key) {
      if (key === "capabilities") return { ...target.capabilities, software: false };
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  process.env.WHET_CACHE = join(dir, "other");
  let measured = 0;
  const { kernels } = await chooseKernels(gpu, prepared, undefined, () => measured++);
  expect(measured).toBeGreaterThan(0);
  expect(readTuned(capabilities)).toEqual(kernels);
  let again = 0;
  expect((await chooseKernels(gpu, prepared, undefined, () => again++)).kernels).toEqual(kernels);
  expect(again).toBe(0);
});
