// ORPO, SimPO, KTO and aot as TRL's own loss functions compute them; see fixtures/preference/make.py.
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { openModel } from "../src/architectures/model.ts";
import type { TokenRow } from "../src/architectures/packed.ts";
import { joined, preparePairs } from "../src/data/pairs.ts";
import { prepareUnpaired } from "../src/data/unpaired.ts";
import { readAdapter } from "../src/formats/peft.ts";
import type { Tokenizer } from "../src/text/tokenizer.ts";
import { start } from "../src/trainer/loop.ts";
import { dpo, type DpoOptions } from "../src/trainer/objectives/dpo.ts";
import { kto, type KtoOptions } from "../src/trainer/objectives/kto.ts";
import type { Objective } from "../src/trainer/objectives/objective.ts";
import { orpo } from "../src/trainer/objectives/orpo.ts";
import { simpo } from "../src/trainer/objectives/simpo.ts";
import { prepare } from "../src/trainer/prepare.ts";
import trl from "./fixtures/preference/trl.json" with { type: "json" };
import { tinySettings } from "./tiny.ts";

const dir = join(import.meta.dir, "../../shared/fixtures/models/llama"), there = existsSync(dir);
const device = there ? await testDevice() : undefined;
if (!there) console.warn("SKIPPED parity of preferences with TRL: no fixtures beside the project");

interface Case {
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly gradients: Readonly<Record<string, readonly number[]>>;
}

// Rows are ids already.
const none = undefined as unknown as Tokenizer;
const how = { name: "pairs", maxSeq: 100, overlong: "error" } as const;
const sequence = (prompt: readonly number[], answer: readonly number[]) => ({
  ids: [...prompt, ...answer],
  labels: [...prompt.map(() => -100), ...answer],
});

function pairs(share: boolean, prompt = false): TokenRow[] {
  const examples = trl.pairs.map(({ prompt, chosen, rejected }, line) => ({
    line,
    ...sequence(prompt, chosen),
    rejected: sequence(prompt, rejected),
  }));
  return preparePairs(examples, none, { ...how, share, prompt }).rows;
}

function answers(share: boolean, rows: readonly unknown[], batch?: number): TokenRow[] {
  const examples = (rows as [number[], number[], boolean][]).map((
    [prompt, answer, wanted],
    line,
  ) => ({
    line,
    ...sequence(prompt, answer),
    wanted,
  }));
  return prepareUnpaired(examples, none, { ...how, share, batch }).rows;
}

/** Eight vectors of signs, as make.py has them: the products of a gradient with them tell it from others. */
function signs(n: number, k: number): Int8Array {
  return Int8Array.from({ length: n }, (_, i) => {
    let h = (8 * i + k) >>> 0;
    for (const [shift, factor] of [[16, 0x85ebca6b], [13, 0xc2b2ae35], [16, 1]] as const) {
      h = Math.imul(h ^ (h >>> shift), factor) >>> 0;
    }
    return 1 - 2 * (h & 1);
  });
}

async function compare(objective: Objective, rows: readonly TokenRow[], want: Case) {
  const model = await openModel(join(dir, "hf"));
  const settings = {
    ...tinySettings,
    dropout: 0,
    rank: 8,
    alpha: 16,
    batch: rows.length,
    accum: 1,
  };
  const targets = model.architecture.linears;
  const prepared = prepare(model, rows, rows, targets, settings, Infinity, objective);
  const trainer = await start(device!, prepared);
  const { tensors } = await readAdapter(join(dir, "peft"));
  trainer.start(new Map([...tensors].map(([key, t]) => [key, t.data])));
  const gradients = await trainer.gradients(0);
  const measured = await trainer.validate(rows, [rows.map((_, i) => i)]);
  const step = await trainer.next();
  trainer.free();
  model.folder.close();
  expect(Math.abs(step.loss - want.loss) / Math.max(1, want.loss)).toBeLessThan(1e-5);
  for (const { loss, measures } of [step, measured]) {
    expect(Math.abs(loss - step.loss)).toBeLessThan(1e-5);
    for (const [name, value] of Object.entries(want.metrics)) {
      const off = Math.abs(measures[name]! - value);
      expect({ name, ok: off < 1e-5 || name.startsWith("logps") && off < 1e-6 * -value }).toEqual(
        { name, ok: true },
      );
    }
  }
  expect(gradients.size).toBe(Object.keys(want.gradients).length);
  for (const [name, gradient] of gradients) {
    const [norm, ...products] = want.gradients[name]!;
    expect(Math.abs(Math.hypot(...gradient) / norm! - 1)).toBeLessThan(1e-4);
    // The mean of their squares is the square of the length of what is apart.
    const apart = products.map((product, k) => {
      const signed = signs(gradient.length, k);
      return gradient.reduce((sum, g, i) => sum + signed[i]! * g, 0) - product;
    });
    expect(Math.hypot(...apart) / Math.sqrt(apart.length) / norm!).toBeLessThan(1e-4);
  }
}

for (const share of [false, true]) {
  const run = (name: string, body: () => Promise<void>) =>
    test.skipIf(!device)(`${name}${share ? ", prompts computed once" : ""}`, body, 120_000);
  run("orpo", async () => {
    await compare(orpo({ beta: 0.1 }), pairs(share, true), trl.orpo);
  });
  for (const name of ["simpo", "simpo_cpo"] as const) {
    const { settings: s, ...want } = trl[name];
    const objective = simpo({
      beta: s.beta,
      gamma: s.simpo_gamma,
      smoothing: s.label_smoothing,
      alpha: s.cpo_alpha,
    });
    const { nll_loss, ...metrics } = want.metrics;
    const logged = s.cpo_alpha > 0 ? { nll_loss, ...metrics } : metrics;
    run(name, () => compare(objective, pairs(share), { ...want, metrics: logged }));
  }
  for (const loss of ["sigmoid", "aot", "aot_unpaired"] satisfies DpoOptions["loss"][]) {
    const { settings: { beta, label_smoothing: smoothing }, ...want } = trl[loss];
    const objective = dpo({ loss, beta, smoothing, reference: "adapter-off" });
    run(loss, () => compare(objective, pairs(share), want));
  }
  for (const loss of ["kto", "apo_zero_unpaired"] satisfies KtoOptions["loss"][]) {
    const { settings: s, rows, ...want } = trl[loss];
    const objective = kto({
      loss,
      beta: s.beta,
      desirable: s.desirable_weight,
      undesirable: s.undesirable_weight,
      reference: "adapter-off",
    });
    const batch = loss === "kto" ? rows.length : undefined;
    run(loss, () => compare(objective, answers(share, rows, batch), want));
  }
}

test("the tokens of an ORPO pair: the chosen prompt is trained, the rejected one is not", () => {
  const [a, b] = [sequence([1, 2, 3], [4, 5]), sequence([1, 2, 3], [6])];
  const [row] = preparePairs([{ line: 1, ...a, rejected: b }], none, {
    ...how,
    share: true,
    prompt: true,
  }).rows;
  expect(row).toMatchObject({
    ids: [1, 2, 3, 4, 5, 3, 6],
    labels: [-100, 2, 3, 4, 5, -100, 6],
    targets: 5,
    pair: { shared: 2, rejected: 5, answer: 3 },
  });
  expect(joined(1, a, b, true).targets).toBe(3);
});
