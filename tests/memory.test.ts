// What a run keeps, and where it keeps it, is for the planner to decide: no bit may depend on it, and no byte
// may be missing from the plan.
import { afterAll, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { testDevice } from "../kernels/check.ts";
import { openModel } from "../src/architectures/model.ts";
import { start } from "../src/trainer/loop.ts";
import { fitRun, planRun } from "../src/trainer/plan.ts";
import { prepare } from "../src/trainer/prepare.ts";
import type { Recipe } from "../src/trainer/program.ts";
import { tinyModel, tinyRows, tinySettings } from "./tiny.ts";

const device = await testDevice();
const gpu = test.skipIf(!device);
const rows = tinyRows(24);

for (const family of ["llama", "phi"] as const) {
  const dir = await tinyModel(family), model = await openModel(dir);
  afterAll(() => rmSync(dir, { recursive: true }));
  /** Feed-forward layers in chunks of 64 rows, as a large model has them. */
  const recipeOf = (full: boolean, keep?: Recipe["keep"]) => {
    const settings = { ...tinySettings, full, dropout: 0.1, batch: 12 };
    const prepared = prepare(model, rows, rows.slice(0, 3), model.architecture.linears, settings);
    expect(prepared.recipe.size.tokens).toBeGreaterThan(128);
    return { ...prepared, recipe: { ...prepared.recipe, chunk: 1, keep } };
  };

  gpu(`${family}: gradients have the same bits whatever blocks keep`, async () => {
    const ways = [undefined, { whole: 1, held: 0 }, { whole: 0, held: 1 }, { whole: 0, held: 0 }];
    for (const full of [false, true]) {
      const found = [];
      for (const keep of full ? [undefined, { whole: 0, held: 0 }] : ways) {
        const trainer = await start(device!, recipeOf(full, keep));
        found.push(await trainer.gradients(0));
        trainer.free();
      }
      for (const other of found) expect(other).toEqual(found[0]!);
      expect([...found[0]!.values()].some((gradient) => gradient.some((v) => v !== 0))).toBe(true);
    }
  });

  gpu(`${family}: planned bytes are the bytes that are allocated`, async () => {
    for (const keep of [undefined, { whole: 0, held: 0 }]) {
      const before = device!.bytes, prepared = recipeOf(false, keep);
      const trainer = await start(device!, prepared);
      await trainer.prepareValidation();
      const planned = planRun(model, prepared.recipe, true).bytes.total;
      expect(Math.abs((device!.bytes - before) / planned - 1)).toBeLessThan(0.01);
      trainer.free();
      expect(device!.bytes).toBe(before);
    }
  });

  test(`${family}: what is kept is the least extra arithmetic that fits`, () => {
    const { recipe } = recipeOf(false),
      fit = (budget: number, mode: "auto" | "on" | "off") =>
        fitRun(model, recipe, false, budget, mode);
    const all = fit(Infinity, "auto").plan, none = fit(0, "auto").plan;
    expect(all.extraFlops).toBe(0);
    expect(all.blocks).toEqual({ all: 2, recomputed: 0 });
    expect(fit(0, "off").plan.bytes).toEqual(all.bytes);
    expect(fit(Infinity, "on").plan.blocks.recomputed).toBe(2);
    expect(none.bytes.total).toBeLessThan(all.bytes.total);
    let extra = 0;
    for (let i = 10; i >= 0; i--) {
      const budget = none.bytes.total + (all.bytes.total - none.bytes.total) * i / 10;
      const { plan } = fit(budget, "auto");
      expect(plan.bytes.total).toBeLessThanOrEqual(budget);
      expect(plan.extraFlops).toBeGreaterThanOrEqual(extra);
      extra = plan.extraFlops;
    }
    expect(extra).toBeGreaterThan(0);
  });
}
