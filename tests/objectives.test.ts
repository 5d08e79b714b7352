// What the loss is made of, and what training adds to it: on the device, against what the plain loss says.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { testDevice } from "../kernels/check.ts";
import { openModel } from "../src/architectures/model.ts";
import type { TokenRow } from "../src/architectures/packed.ts";
import { start } from "../src/trainer/loop.ts";
import { prepare, type RunSettings } from "../src/trainer/prepare.ts";
import { supervised } from "../src/trainer/objectives/sft.ts";
import { tinyModel, tinyRows, tinySettings } from "./tiny.ts";

setDefaultTimeout(120_000);
const device = await testDevice();
const dir = await tinyModel(), model = await openModel(dir);
afterAll(() => rmSync(dir, { recursive: true }));
const gpu = test.skipIf(!device);
const rows = tinyRows(8);
const plain: RunSettings = { ...tinySettings, dropout: 0, batch: 8, shuffle: false };

function begin(change: Partial<RunSettings> = {}, data: readonly TokenRow[] = rows) {
  const prepared = prepare(model, data, [], ["q_proj", "down_proj"], { ...plain, ...change });
  return start(device!, prepared);
}

/** Loss, norm and gradients of the first step, and the validation loss of the same rows. */
async function first(change: Partial<RunSettings> = {}, data: readonly TokenRow[] = rows) {
  const trainer = await begin(change, data);
  const gradients = await trainer.gradients(0);
  const { loss: validation } = await trainer.validate(data, data.map((_, i) => [i]));
  const { loss, gradNorm } = await trainer.next();
  trainer.free();
  return { loss, gradNorm, gradients, validation };
}

type First = Awaited<ReturnType<typeof first>>;

/** The largest difference of two results, relative to the larger. */
function apart(a: First, b: First): number {
  let worst = Math.abs(a.loss / b.loss - 1);
  for (const [name, g] of a.gradients) {
    const other = b.gradients.get(name)!;
    const scale = Math.hypot(...g), off = Math.hypot(...g.map((v, i) => v - other[i]!));
    worst = Math.max(worst, scale === 0 ? off : off / scale);
  }
  return worst;
}

/** The rows with only those supervised places that `keep` keeps. */
const only = (keep: (t: number) => boolean): TokenRow[] =>
  rows.map(({ ids, labels }) => ({
    ids,
    labels: Array.from(labels).map((label, t) => keep(t) ? label : -100),
  }));
const targets = (data: readonly TokenRow[]) => data.reduce((n, row) => n + supervised(row), 0);

gpu(
  "weighted tokens: the loss is the weighted sum over the sum of weights of the whole step",
  async () => {
    const W = 3.5, heavy = (t: number) => t % 3 === 0;
    const weighted = rows.map((row) => ({
      ...row,
      weights: Array.from(row.ids, (_, t) => heavy(t) ? W : 1),
    }));
    const [some, rest] = [only(heavy), only((t) => !heavy(t))];
    const [a, b] = [await first({}, some), await first({}, rest)];
    const [n, m] = [W * targets(some), targets(rest)];
    const got = await first({}, weighted);
    expect(Math.abs(got.loss / ((n * a.loss + m * b.loss) / (n + m)) - 1)).toBeLessThan(1e-6);
    for (const [name, g] of got.gradients) {
      const [x, y] = [a.gradients.get(name)!, b.gradients.get(name)!];
      const want = g.map((_, i) => (n * x[i]! + m * y[i]!) / (n + m));
      expect(Math.hypot(...g.map((v, i) => v - want[i]!))).toBeLessThan(
        2e-6 * Math.hypot(...want) + 1e-12,
      );
    }
    // However the step is cut: all of its weights make the mean.
    const longest = Math.max(...rows.map(({ ids }) => ids.length));
    expect(apart(got, await first({ micro_tokens: longest }, weighted))).toBeLessThan(1e-6);
    const even = rows.map((row) => ({ ...row, weights: Array.from(row.ids, () => 7) }));
    expect(apart(await first({}, even), await first())).toBeLessThan(1e-6);
  },
);

gpu(
  "packed = unpacked, 8 x 1 = 1 x 8, and padding changes nothing: loss and every gradient",
  async () => {
    const whole = await first({ batch: 8, accum: 1 });
    const longest = Math.max(...rows.map(({ ids }) => ids.length));
    const alone = await first({ batch: 1, accum: 8, micro_tokens: longest });
    expect(apart(whole, alone)).toBeLessThan(1e-6);
    const padded = await first({ micro_tokens: 512 });
    expect(apart(whole, padded)).toBeLessThan(1e-6);
    const packing = await first({ packing: true, batch: 1, micro_tokens: 512 });
    expect(apart(whole, packing)).toBeLessThan(1e-6);
  },
);

gpu("label smoothing is in the training loss and not in the validation loss", async () => {
  const [sharp, soft] = [await first(), await first({ label_smoothing: 0.3 })];
  expect(soft.validation).toBe(sharp.validation);
  expect(Math.abs(sharp.loss / sharp.validation - 1)).toBeLessThan(1e-6);
  expect(Math.abs(soft.loss - sharp.loss)).toBeGreaterThan(1e-3);
  expect(apart(sharp, soft)).toBeGreaterThan(1e-2);
});

gpu(
  "NEFTune: another noise at every step, none in validation, the same when blocks are computed again",
  async () => {
    const noisy = { neftune_alpha: 5, lr: 1e-30 };
    const [still, a, b] = [await first({ lr: 1e-30 }), await first(noisy), await first(noisy)];
    expect(a.validation).toBe(still.validation);
    expect(a.loss).not.toBe(still.loss);
    expect(a).toEqual(b);
    expect(await first({ ...noisy, grad_checkpoint: "on" })).toEqual(a);
    expect((await first({ ...noisy, seed: 6 })).loss).not.toBe(a.loss);
    const trainer = await begin(noisy);
    const losses = [(await trainer.next()).loss, (await trainer.next()).loss];
    trainer.free();
    expect(losses[0]).not.toBe(losses[1]!);
  },
);

gpu("NEFTune in full training: the embedding learns through it", async () => {
  const a = await first({ full: true, neftune_alpha: 5 }), still = await first({ full: true });
  const name = "model.embed_tokens.weight";
  expect(a.gradients.get(name)!.some((v) => v !== 0)).toBe(true);
  expect(apart(a, still)).toBeGreaterThan(1e-4);
});

gpu(
  "LoRA+: B moves as with so much larger a rate, A as before, and the norm is of all",
  async () => {
    const after = async (change: Partial<RunSettings>) => {
      const trainer = await begin({ warmup: 0, weight_decay: 0, lr: 1e-3, ...change });
      const { gradNorm } = await trainer.next();
      const state = await trainer.moments();
      trainer.free();
      return { gradNorm, state };
    };
    const [one, plus, large] = [
      await after({}),
      await after({ loraplus_ratio: 16 }),
      await after({ lr: 16e-3 }),
    ];
    expect(Math.abs(plus.gradNorm / one.gradNorm - 1)).toBeLessThan(1e-6);
    for (const [name, { w }] of plus.state) {
      const want = (name.includes("lora_B") ? large : one).state.get(name)!.w;
      expect(Math.max(...w.map((v, i) => Math.abs(v - want[i]!)))).toBeLessThan(1e-9);
    }
    const bs = [...plus.state].filter(([name]) => name.includes("lora_B"));
    expect(bs.some(([, { w }]) => w.some((v) => v !== 0))).toBe(true);
  },
);

gpu("chosen layers get the adapter, no others", async () => {
  const names = async (layers: string) => {
    const trainer = await begin({ layers });
    const found = trainer.trained.map(({ name }) => name.split(".")[2]);
    trainer.free();
    return [...new Set(found)];
  };
  expect(await names("-1")).toEqual(["1"]);
  expect(await names("0-1")).toEqual(["0", "1"]);
  expect(await names("0")).toEqual(["0"]);
});
