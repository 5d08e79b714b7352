// Direct preference optimisation as transformers, PEFT and torch compute it.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { openModel } from "../src/architectures/model.ts";
import type { TokenRow } from "../src/architectures/packed.ts";
import { joined } from "../src/data/pairs.ts";
import { readAdapter } from "../src/formats/peft.ts";
import { openSafetensors } from "../src/formats/safetensors.ts";
import { trainSettings } from "../src/settings/train.ts";
import { layOut } from "../src/trainer/layout.ts";
import { start } from "../src/trainer/loop.ts";
import { prepare } from "../src/trainer/prepare.ts";
import { dpo, type DpoOptions } from "../src/trainer/objectives/dpo.ts";
import { supervised } from "../src/trainer/objectives/sft.ts";
import { Trainer } from "../src/trainer/trainer.ts";

const fixtures = join(import.meta.dir, "../../shared/fixtures/models");
const device = existsSync(fixtures) ? await testDevice() : undefined;
if (!existsSync(fixtures)) {
  console.warn("SKIPPED parity of DPO with reference models: no fixtures beside the project");
}

const usual: DpoOptions = { loss: "sigmoid", beta: 0.1, smoothing: 0, reference: "adapter-off" };

interface Measured {
  loss: number;
  grad_norm: number;
  rewards_chosen: number;
  rewards_rejected: number;
  accuracy: number;
  margin: number;
}
interface Reference {
  beta: number;
  pairs: { prompt: number[]; chosen: number[]; rejected: number[] }[];
  ref_logp_chosen: number[];
  ref_logp_rejected: number[];
  losses: Record<string, Measured>;
}

/** A pair as one row: the two sequences one after the other, the prompt once or twice. */
function rowOf({ prompt, chosen, rejected }: Reference["pairs"][number], share = false): TokenRow {
  const one = (answer: number[]) => ({
    ids: [...prompt, ...answer],
    labels: [...prompt.map(() => -100), ...answer],
  });
  return joined(1, one(chosen), one(rejected), share);
}

async function trainerOf(
  dir: string,
  rows: readonly TokenRow[],
  options: Partial<DpoOptions> = {},
  budget = 128,
) {
  const model = await openModel(join(dir, "hf"));
  const lengths = rows.map((row) => ({
    tokens: row.ids.length,
    targets: supervised(row),
    keys: row.ids.length + row.pair!.shared,
  }));
  const plan = layOut(lengths, {
    rows: rows.length,
    fill: false,
    epochs: 1,
    iterations: 20,
    seed: 1,
    shuffle: false,
    budget,
  });
  const recipe = {
    size: plan.size,
    positions: 128,
    full: false,
    lora: {
      rank: 8,
      alpha: 16,
      rslora: false,
      dropout: 0,
      targets: (module: string) => module !== "lm_head",
    },
    objective: dpo({ ...usual, ...options }),
  };
  const trainer = await Trainer.create(device!, model, recipe, rows, plan, {
    betas: [0.9, 0.999],
    eps: 1e-8,
    weightDecay: 0,
    maxGradNorm: 0,
    seed: 1,
    rate: () => 1e-4,
  });
  const { tensors } = await readAdapter(join(dir, "peft"));
  trainer.start(new Map([...tensors].map(([key, t]) => [key, t.data])));
  return trainer;
}

const cases: [string, DpoOptions["loss"], number][] = [
  ["sigmoid", "sigmoid", 0],
  ["sigmoid_label_smoothing0.1", "sigmoid", 0.1],
  ["hinge", "hinge", 0],
  ["ipo_sum", "ipo_sum", 0],
];
for (const name of ["llama", "llama_tied", "phi2", "qwen2", "qwen3", "gemma2", "gemma3"]) {
  const dir = join(fixtures, name), run = test.skipIf(!device || !existsSync(dir));
  const reference = (): Reference =>
    JSON.parse(readFileSync(join(dir, "reference.json"), "utf8")).dpo;
  for (const [key, loss, smoothing] of cases) {
    run(`${name}: ${key}`, async () => {
      const { pairs, beta, losses } = reference(), want = losses[key]!;
      const trainer = await trainerOf(dir, pairs.map((pair) => rowOf(pair)), {
        loss,
        smoothing,
        beta,
      });
      if (key === "sigmoid") {
        const gradients = await trainer.gradients(0);
        using file = openSafetensors(join(dir, "dpo_sigmoid_grads.safetensors"));
        expect(file.tensors.size).toBe(gradients.size);
        for (const [of, gradient] of gradients) {
          expect(relative(gradient, file.readF32(`base_model.model.${of}`))).toBeLessThan(1e-4);
        }
      }
      const got = await trainer.next();
      expect(got.applied).toBe(true);
      // ipo_sum squares a sum of four log-probabilities of up to 73, each rounded to f32 on both sides.
      const rounding = loss === "ipo_sum" ? 2 * Math.sqrt(want.loss) * 8 * 2 ** -18 : 0;
      expect(Math.abs(got.loss - want.loss)).toBeLessThan(1e-5 + rounding);
      expect(Math.abs(got.gradNorm / want.grad_norm - 1)).toBeLessThan(1e-4);
      const measures: [string, number][] = [
        ["rewards/chosen", want.rewards_chosen],
        ["rewards/rejected", want.rewards_rejected],
        ["rewards/accuracies", want.accuracy],
        ["rewards/margins", want.margin],
      ];
      for (const [measure, value] of measures) {
        expect(Math.abs(got.measures[measure]! - value)).toBeLessThan(1e-5);
      }
      trainer.free();
    });
  }
}

test.skipIf(!device)(
  "a prompt that is computed once gives the same as one computed twice",
  async () => {
    const dir = join(fixtures, "llama");
    const ids = (n: number, from: number) =>
      Array.from({ length: n }, (_, i) => (from + i * 37) % 480);
    const pairs = [[40, 9, 5], [3, 1, 20], [1, 4, 4], [17, 30, 2]].map(([p, c, r], i) => ({
      prompt: ids(p!, i),
      // The first of them begin alike beyond the prompt.
      chosen: i === 0 ? [7, 8, ...ids(c!, 50)] : ids(c!, 60 + i),
      rejected: i === 0 ? [7, 8, ...ids(r!, 90)] : ids(r!, 100 + i),
    }));
    const measured = [];
    for (const share of [false, true]) {
      const rows = pairs.map((pair) => rowOf(pair, share));
      if (share) expect(rows.map(({ pair }) => pair!.shared)).toEqual([39, 2, 0, 16]);
      const trainer = await trainerOf(dir, rows, {}, 256);
      const gradients = await trainer.gradients(0);
      const { loss } = await trainer.validate(rows, [[0, 1, 2, 3]]);
      const before = await trainerOf(dir, rows, { reference: "cached" }, 256);
      const logps = await before.logps(rows);
      before.free();
      measured.push({ gradients, logps, loss });
      trainer.free();
    }
    const [twice, once] = measured as [typeof measured[0], typeof measured[0]];
    expect(Math.abs(once.loss - twice.loss)).toBeLessThan(1e-6);
    once.logps.forEach((logp, i) => {
      expect(Math.abs(logp / twice.logps[i]! - 1)).toBeLessThan(1e-6);
    });
    for (const [name, gradient] of once.gradients) {
      expect(relative(gradient, twice.gradients.get(name)!)).toBeLessThan(3e-6);
    }
  },
);

test.skipIf(!device)(
  "memory: as planned, and little more than supervised training's",
  async () => {
    const model = await openModel(join(import.meta.dir, "../models/micro"));
    const settings = trainSettings.parse({
      model: "m",
      data: "d",
      output: "o",
      batch: 4,
      iters: 2,
    });
    const ids = (n: number, from: number) =>
      Array.from({ length: n }, (_, i) => 5 + (from + i * 37) % 200);
    const rows = Array.from({ length: 8 }, (_, i) => {
      const pair = { prompt: ids(180, i), chosen: ids(60, 100 + i), rejected: ids(60, 150 + i) };
      return [false, true].map((share) => rowOf(pair, share));
    });
    const targets = model.architecture.defaultTargets, objective = dpo(usual);
    const plans = [0, 1].map((share) => {
      const all = rows.map((row) => row[share]!),
        same = all.map(({ ids, labels }) => ({ ids, labels }));
      const sft = prepare(model, same, same, targets, settings);
      const prepared = prepare(model, all, all, targets, settings, Infinity, objective);
      expect(prepared.recipe.size.tokens).toBe(sft.recipe.size.tokens);
      expect(prepared.plan.bytes.total / sft.plan.bytes.total).toBeLessThan(1.15);
      return prepared;
    });
    for (const prepared of plans) {
      const before = device!.bytes, trainer = await start(device!, prepared);
      await trainer.next();
      // Sizes that kernels read are not in the plan: some bytes each.
      expect(Math.abs(device!.bytes - before - prepared.plan.bytes.total)).toBeLessThan(2000);
      trainer.free();
    }
    const work = plans.map(({ plan, batches }) => plan.flops * batches.at(0).micro.length);
    expect(work[0]! / work[1]!).toBeGreaterThan(1.4);
    model.folder.close();
  },
);

function relative(got: Float32Array, want: Float32Array): number {
  let off = 0, all = 0;
  want.forEach((w, i) => {
    off += (got[i]! - w) ** 2;
    all += w ** 2;
  });
  return Math.sqrt(off / all);
}
