import { afterAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openModel } from "../../architectures/model.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { quantOf } from "../../settings/model.ts";
import { trainEmbedSettings } from "../../settings/embed.ts";
import { planSettings } from "../../settings/plan.ts";
import { trainSettings } from "../../settings/train.ts";
import { again, halved, prepare } from "../../trainer/prepare.ts";
import { tinyModel, tinyRows } from "../../../tests/tiny.ts";
import { waysToFit } from "./fitting.ts";
import { modelsOf } from "../use/models.ts";
import { requireFit } from "./memory_told.ts";
import type { Io } from "../io.ts";
import type { PreparedRun } from "./prepared.ts";
import { prepareEmbedRun } from "./prepared_embed.ts";
import { preparePlan } from "./prepared_plan.ts";

const dir = await tinyModel(), model = await openModel(dir);
afterAll(() => rmSync(dir, { recursive: true }));
const { defaultTargets } = model.architecture;
const rows = tinyRows(24);
const longest = Math.max(...rows.map(({ ids }) => ids.length));

function planned(budget: number, change: Record<string, unknown> = {}, targets = defaultTargets) {
  const settings = trainSettings.parse({ model: dir, data: "rows", batch: 24, ...change });
  const kept = { ...model, quant: quantOf(settings), compute: settings.compute };
  return { settings, prepared: prepare(kept, rows, [], targets, settings, budget) };
}
const total = (budget: number, change: Record<string, unknown> = {}) =>
  planned(budget, change).prepared.plan.bytes.total;

test("a run is fitted: blocks again before micro-batches, and the rows of a step stay", () => {
  const roomy = planned(Infinity).prepared, most = roomy.plan.bytes.total;
  expect(roomy.plan.blocks.recomputed).toBe(0);
  const fitted = [0.99, 0.9, 0.8, 0.7, 0.6, 0.5].map((share) => planned(share * most).prepared);
  let halvedOnce = false, recomputed = false;
  for (const p of fitted) {
    if (!p.fits) continue;
    expect(p.plan.bytes.total).toBeLessThanOrEqual(p.budget);
    expect(p.batches.at(0).micro.flat().toSorted()).toEqual(
      roomy.batches.at(0).micro.flat().toSorted(),
    );
    expect(p.batches.steps).toBe(roomy.batches.steps);
    const same = p.recipe.size.tokens === roomy.recipe.size.tokens;
    recomputed ||= same && p.plan.blocks.recomputed > 0;
    halvedOnce ||= !same;
  }
  expect({ halvedOnce, recomputed }).toEqual({ halvedOnce: true, recomputed: true });
});

test("a plan for embeddings is what training would do, with rows and without", async () => {
  const encoder = await tinyModel("bert"),
    io = {
      note() {},
      warn() {},
      async *lines(path: string) {
        for (const text of readFileSync(path, "utf8").split("\n")) yield { text };
      },
    } as unknown as Io;
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    cpSync(join(import.meta.dir, "../../../models/micro", name), join(encoder, name));
  }
  const data = join(encoder, "rows.jsonl"), texts = ["water", "mulch the bed", "prune it"];
  const lines = texts.flatMap((anchor) =>
    texts.map((other, i) => JSON.stringify({ anchor, positive: `${other} ${anchor.length} ${i}` }))
  );
  writeFileSync(data, lines.join("\n"));
  const flags = { loss: "mnr", batch: 3, epochs: 2, val_split: 0 };
  const told = planSettings.parse({ model: [encoder], data, objective: "embed", ...flags });
  const asked = trainEmbedSettings.parse({ model: encoder, data, output: "run", ...flags });
  const plan = await preparePlan({ ...told, model: encoder }, io);
  const train = await prepareEmbedRun(asked, io);
  expect(plan.prepared.plan.bytes).toEqual(train.prepared.plan.bytes);
  for (let step = 0; step < 6; step++) {
    const rows = plan.prepared.batches.at(step).micro.flat();
    expect(rows).toEqual(train.prepared.batches.at(step).micro.flat());
    // Nine rows of three anchors in batches of three: each anchor once.
    expect(new Set(rows.map((row) => Math.floor(row / 3))).size).toBe(3);
  }
  const nothing = planSettings.parse({ model: [encoder], objective: "embed" });
  const { prepared } = await preparePlan({ ...nothing, model: encoder }, io);
  expect([prepared.rows.length, prepared.recipe.positions]).toEqual([16, 3 * 128]);
  const refused = planSettings.safeParse({ model: ["m"], objective: "embed", ...flags, accum: 2 });
  expect(refused.error!.issues[0]!.path).toEqual(["accum"]);
  rmSync(encoder, { recursive: true });
});

test("micro-batches halve down to the longest row; one that is named stays", () => {
  const { prepared } = planned(Infinity, { micro_tokens: 512 });
  expect(prepared.recipe.size.tokens).toBe(512);
  const half = again(prepared, { micro_tokens: halved(prepared) });
  expect(half.recipe.size.tokens).toBe(256);
  const smallest = planned(1).prepared;
  expect(smallest.fits).toBe(false);
  expect(smallest.recipe.size.tokens).toBe(Math.ceil(longest / 64) * 64);
  expect(halved(smallest)).toBeUndefined();
  expect(planned(1, { micro_tokens: 512 }).prepared.recipe.size.tokens).toBe(512);
  // A row is never cut: it takes what it needs.
  expect(planned(1, { micro_tokens: 1 }).prepared.recipe.size.tokens).toBe(
    smallest.recipe.size.tokens,
  );
});

test("packed sequences of half the length: twice as many in a step", () => {
  const change = { packing: true, batch: 1, max_seq: 256 };
  const one = planned(Infinity, change).prepared;
  const two = planned(Infinity, { ...change, micro_tokens: 128 }).prepared;
  expect(one.batches.at(0).micro).toHaveLength(1);
  expect([one.recipe.size.tokens, two.recipe.size.tokens]).toEqual([256, 128]);
  expect(two.batches.at(0).micro).toHaveLength(2);
});

test("settings that would make it fit do, the cheapest first", () => {
  const tight = { rank: 64 }, loose = { ...tight, grad_checkpoint: "off" };
  const half = { ...tight, compute: "f16" };
  const packed = { ...half, quant: "nf4", double_quant: true };
  const small = total(1, tight);
  for (
    const [budget, change, first] of [
      [1.1 * small, loose, "--grad-checkpoint auto"],
      [total(1, half), tight, "--compute f16"],
      [0.97 * total(1, half), half, "--quant int8"],
      [0.97 * total(1, packed), packed, "--rank 16"],
      [
        0.7 * small,
        { ...loose, micro_tokens: 1024 },
        "--grad-checkpoint auto without --micro-tokens --compute f16 --quant nf4 --double-quant",
      ],
    ] as const
  ) {
    const { prepared, settings } = planned(budget, change);
    expect(prepared.fits).toBe(false);
    const ways = waysToFit(prepared, settings);
    expect(ways.length).toBeLessThanOrEqual(3);
    expect(ways[0]!.flags).toStartWith(first);
    for (const way of ways) expect(way.total).toBeLessThanOrEqual(budget);
  }
  const { prepared, settings } = planned(1000);
  expect(waysToFit(prepared, settings)).toEqual([]);
});

test("--full is given up before rows are cut", () => {
  const change = { full: true }, budget = 0.95 * total(1, change);
  const settings = trainSettings.parse({ model: dir, data: "rows", batch: 24, ...change });
  const prepared = prepare(model, rows, [], [], settings, budget);
  expect(waysToFit(prepared, settings)[0]!.flags).toBe("without --full");
});

test("a run that cannot fit is refused, part by part, with what would help", () => {
  const budget = 0.97 * total(1, { rank: 64 });
  const { prepared, settings } = planned(budget, { rank: 64 });
  const what = "85 % of 1 MiB free, says a test";
  const found = { free: 1, total: 1, source: "a test", gpu: false };
  const run = {
    prepared,
    targets: defaultTargets,
    data: undefined,
    validation: undefined,
    template: undefined,
    room: { bytes: budget, what, found },
  } as unknown as PreparedRun;
  let refusal: unknown;
  try {
    requireFit(run, settings);
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toBeInstanceOf(Fail);
  expect(refusal).toMatchObject({
    exit: Exit.memory,
    message: expect.stringMatching(/^this run needs at least .+ of memory, it may take .+$/),
    why: expect.stringMatching(/^85 % of .+\nweights +.+\nadapter +(.+\n)+total +.+$/),
    fix: expect.stringContaining("--rank 16"),
  });
  const { prepared: sound } = planned(Infinity);
  expect(() => requireFit({ ...run, prepared: sound }, settings)).not.toThrow();
});

test("-m names one model, several, or a folder of them", () => {
  const shelf = mkdtempSync(join(tmpdir(), "whet-shelf-"));
  for (const name of ["b", "a", "c,d"]) cpSync(dir, join(shelf, name), { recursive: true });
  const at = (name: string) => join(shelf, name);
  expect(modelsOf([shelf], true)).toEqual([at("a"), at("b"), at("c,d")]);
  expect(modelsOf([at("a"), at("b")], true)).toEqual([at("a"), at("b")]);
  expect(modelsOf(at("c,d").split(","), false)).toEqual([at("c,d")]);
  expect(modelsOf([shelf], false)).toEqual([shelf]);
  expect(modelsOf(["nowhere"], true)).toEqual(["nowhere"]);
  rmSync(shelf, { recursive: true });
  const empty = mkdtempSync(join(tmpdir(), "whet-shelf-"));
  expect(() => modelsOf([empty], true)).toThrow("holds no model");
  rmSync(empty, { recursive: true });
});
