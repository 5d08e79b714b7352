// What must not change the result, and what must not change even a bit of it.
import { afterAll, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { testDevice } from "../kernels/check.ts";
import { type Model, openModel } from "../src/architectures/model.ts";
import type { TokenRow } from "../src/architectures/packed.ts";
import { start } from "../src/trainer/loop.ts";
import { planRun } from "../src/trainer/plan.ts";
import { prepare, type RunSettings } from "../src/trainer/prepare.ts";
import { supervised } from "../src/trainer/objectives/sft.ts";
import { tinyModel, tinyRows, tinySettings } from "./tiny.ts";

const device = await testDevice();
const dir = await tinyModel(), model = await openModel(dir);
afterAll(() => rmSync(dir, { recursive: true }));
const gpu = test.skipIf(!device);
const targets = ["q_proj", "v_proj", "down_proj"];
const rows = tinyRows(24);

async function begin(
  change: Partial<RunSettings> = {},
  data: readonly TokenRow[] = rows,
  of: Model = model,
  names: readonly string[] = targets,
) {
  const prepared = prepare(of, data, [], names, { ...tinySettings, ...change });
  return { prepared, trainer: await start(device!, prepared) };
}
async function run(
  steps: number,
  change: Partial<RunSettings> = {},
  data?: readonly TokenRow[],
  of?: Model,
) {
  const { trainer } = await begin(change, data, of);
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) losses.push((await trainer.next()).loss);
  const state = await trainer.moments();
  trainer.free();
  return { losses, state };
}
gpu("two runs give the same bits, with dropout", async () => {
  const [a, b] = [await run(5), await run(5)];
  expect(a).toEqual(b);
  expect(new Set(a.losses).size).toBe(5);
});

gpu("20 steps = 10 steps, a restart, 10 steps: same bits, adapter and full", async () => {
  for (const full of [false, true]) {
    const whole = await run(20, { full });
    const first = await begin({ full });
    for (let i = 0; i < 10; i++) await first.trainer.next();
    const saved = await first.trainer.moments();
    first.trainer.free();
    const second = await begin({ full });
    second.trainer.restore(10, saved);
    for (let i = 0; i < 10; i++) await second.trainer.next();
    expect(await second.trainer.moments()).toEqual(whole.state);
    second.trainer.free();
  }
});

gpu("recomputing blocks changes no bit", async () => {
  for (const compute of ["f32", "f16"] as const) {
    const of = { ...model, compute };
    expect(await run(3, { grad_checkpoint: "on" }, rows, of)).toEqual(await run(3, {}, rows, of));
  }
});

gpu(
  "activations in f16 take less memory, and 20 steps stay within 5e-3 of those in f32",
  async () => {
    const folders = [dir, await tinyModel("phi")];
    for (const folder of folders) {
      const of = await openModel(folder), names = of.architecture.linears, runs = [];
      for (const compute of ["f32", "f16"] as const) {
        const prepared = prepare({ ...of, compute }, rows, [], names, {
          ...tinySettings,
          dropout: 0,
        });
        const trainer = await start(device!, prepared), losses: number[] = [];
        for (let i = 0; i < 20; i++) losses.push((await trainer.next()).loss);
        trainer.free();
        runs.push({ losses, bytes: prepared.plan.bytes.activations });
      }
      const [whole, half] = runs;
      half!.losses.forEach((loss, i) =>
        expect(Math.abs(loss - whole!.losses[i]!)).toBeLessThan(5e-3)
      );
      expect(half!.losses).not.toEqual(whole!.losses);
      expect(half!.bytes).toBeLessThan(whole!.bytes);
    }
    rmSync(folders[1]!, { recursive: true });
  },
);

/** Losses of three steps with activations in f32 and f16, and what f16 could not hold of them. */
async function bothWays(family: "llama" | "phi", times: (name: string) => number) {
  const folder = await tinyModel(family, times), of = await openModel(folder), runs = [];
  for (const compute of ["f32", "f16"] as const) {
    const { trainer } = await begin({ dropout: 0 }, rows, { ...of, compute }, ["v_proj"]);
    const results = [await trainer.next(), await trainer.next(), await trainer.next()];
    trainer.free();
    for (const { applied, loss } of results) expect(applied && Number.isFinite(loss)).toBe(true);
    const saturated = results.reduce((sum, result) => sum + result.saturated, 0);
    runs.push({ losses: results.map(({ loss }) => loss), saturated });
  }
  rmSync(folder, { recursive: true });
  return runs as [typeof runs[0], typeof runs[0]];
}

gpu("attention scores of millions, which f16 could not hold, cost f16 little", async () => {
  // q and k of about 1,200: a product of 16 of each is about 6e6, a hundred times the largest f16.
  // Such a softmax takes one key; where two are close, rounding q and k may decide.
  for (const family of ["llama", "phi"] as const) {
    const [whole, half] = await bothWays(family, (name) => /(q|k)_proj/.test(name) ? 1000 : 1);
    expect(half.saturated).toBe(0);
    half.losses.forEach((v, i) => expect(Math.abs(v - whole.losses[i]!)).toBeLessThan(0.05));
  }
});

gpu("activations that f16 cannot hold stay finite and are counted", async () => {
  const [whole, half] = await bothWays("llama", (name) => /(gate|up)_proj/.test(name) ? 1000 : 1);
  expect(whole.saturated).toBe(0);
  expect(half.saturated).toBeGreaterThan(1000);
});

gpu(
  "dropout draws another mask at every step and for every seed, and none when it is off",
  async () => {
    const norms = async (change: Partial<RunSettings>) => {
      const { trainer } = await begin({ batch: rows.length, lr: 1e-30, ...change });
      const found = [(await trainer.next()).gradNorm, (await trainer.next()).gradNorm];
      trainer.free();
      return found;
    };
    const [first, second] = await norms({ dropout: 0.3 });
    expect(first).not.toBe(second!);
    const [other] = await norms({ dropout: 0.3, seed: 6 });
    expect(other).not.toBe(first!);
    const [off, still] = await norms({ dropout: 0, shuffle: false });
    expect(Math.abs(off! / still! - 1)).toBeLessThan(1e-6);
  },
);

gpu("batch 4 × accumulation 2 = batch 8", async () => {
  const still = { dropout: 0 };
  expect(await run(3, { ...still, batch: 4, accum: 2 })).toEqual(
    await run(3, { ...still, batch: 8 }),
  );
});

gpu("one micro-batch of eight rows = eight micro-batches of one row", async () => {
  const change = { dropout: 0, batch: 8, iters: 5 };
  const prepared = prepare(model, rows, [], targets, { ...tinySettings, ...change });
  const { batches } = prepared;
  const single = {
    ...batches,
    at: (step: number) => ({
      ...batches.at(step),
      micro: batches.at(step).micro.flat().map((row) => [row]),
    }),
  };
  const results: number[][] = [];
  for (const plan of [batches, single]) {
    const trainer = await start(device!, { ...prepared, batches: plan });
    const losses: number[] = [];
    for (let i = 0; i < 5; i++) losses.push((await trainer.next()).loss);
    results.push(losses);
    trainer.free();
  }
  expect(batches.at(0).micro.length).toBeLessThan(8);
  results[0]!.forEach((loss, i) =>
    expect(Math.abs(loss - results[1]![i]!)).toBeLessThan(1e-6 * loss)
  );
});

gpu("packed rows see only themselves: a row's loss is the same alone and in company", async () => {
  const { trainer } = await begin({ dropout: 0 });
  const few = rows.filter((row) => row.ids.length <= 20).slice(0, 3);
  const { loss: together } = await trainer.validate(few, [[0, 1, 2]]);
  let weighted = 0, count = 0;
  for (const row of few) {
    const n = supervised(row);
    weighted += (await trainer.validate([row], [[0]])).loss * n;
    count += n;
  }
  expect(Math.abs(together - weighted / count)).toBeLessThan(1e-6);
  trainer.free();
});

gpu("a fresh adapter changes nothing, a trained one does", async () => {
  const { trainer } = await begin({ dropout: 0 });
  const { loss: before } = await trainer.validate(rows, rows.map((_, i) => [i]));
  const full = await begin({ full: true });
  expect(before).toBe((await full.trainer.validate(rows, rows.map((_, i) => [i]))).loss);
  for (let i = 0; i < 10; i++) await trainer.next();
  expect((await trainer.validate(rows, rows.map((_, i) => [i]))).loss).toBeLessThan(before);
  trainer.free();
  full.trainer.free();
});

gpu("planned bytes are the bytes that are allocated", async () => {
  const before = device!.bytes;
  const { trainer, prepared } = await begin();
  const planned = planRun(model, prepared.recipe, false).bytes.total;
  expect(Math.abs((device!.bytes - before) / planned - 1)).toBeLessThan(0.01);
  trainer.free();
  expect(device!.bytes).toBe(before);
});

gpu("a step whose gradient is not finite is not applied", async () => {
  for (const compute of ["f32", "f16"] as const) {
    const { trainer } = await begin({ dropout: 0 }, rows, { ...model, compute });
    const bad = await trainer.moments(), [name] = [...bad.keys()];
    bad.get(name!)!.w.fill(NaN);
    trainer.restore(0, bad);
    const result = await trainer.next();
    expect(result.applied).toBe(false);
    expect(await trainer.notFinite()).toEqual([name!]);
    trainer.free();
  }
});
