// Matrices larger than one binding: a model whose embedding and head are taken in pieces computes what it
// computes when they are whole.
import { afterAll, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { noise, testDevice } from "../kernels/check.ts";
import { loadWeights, type Model, modelOf, openModel } from "../src/architectures/model.ts";
import { Fail } from "../src/base/fail.ts";
import { Scorer } from "../src/evaluate/score.ts";
import { openGgufModel } from "../src/export/gguf_folder.ts";
import { exportGguf } from "../src/export/gguf_model.ts";
import { openModel as openFolder } from "../src/formats/model_folder.ts";
import { Generator } from "../src/generate/generator.ts";
import { Device } from "../src/gpu/device.ts";
import { Memory } from "../src/graph/memory.ts";
import { layOut } from "../src/trainer/layout.ts";
import { supervised } from "../src/trainer/objectives/sft.ts";
import { Trainer } from "../src/trainer/trainer.ts";
import { tinyModel, tinyRows } from "./tiny.ts";

const whole = await testDevice(), folders: string[] = [];
afterAll(() => folders.forEach((dir) => rmSync(dir, { recursive: true })));

/** A device that binds at most so many bytes. */
async function narrow(maxBinding: number): Promise<Device> {
  const device = await Device.open();
  Object.assign(device.capabilities, { maxBinding });
  return device;
}

async function model(family: "llama" | "phi"): Promise<Model> {
  const dir = await tinyModel(family);
  folders.push(dir);
  return openModel(dir);
}

const rows = tinyRows(2);
const lora = { rank: 4, alpha: 8, rslora: false, dropout: 0, targets: () => true };

/** Loss and gradients of the first step, the adapter's B being no longer zero. */
async function step(device: Device, model: Model) {
  const lengths = rows.map((row) => ({ tokens: row.ids.length, targets: supervised(row) }));
  const plan = layOut(lengths, {
    rows: rows.length,
    fill: false,
    epochs: 1,
    iterations: 1,
    seed: 1,
    shuffle: false,
    budget: 64,
  });
  // Logits of few enough rows that they fit.
  const recipe = { size: { tokens: 64, targets: 32 }, positions: 64, lora, full: false };
  const trainer = await Trainer.create(device, model, recipe, rows, plan, {
    betas: [0.9, 0.999],
    eps: 1e-8,
    weightDecay: 0,
    maxGradNorm: 1,
    seed: 1,
    rate: () => 1e-3,
  });
  const next = noise(5);
  trainer.start(
    new Map(trainer.trained.map((t) => [
      t.name,
      new Float32Array(t.shape.reduce((a, b) => a * b, 1)).map(() => next() * 0.1),
    ])),
  );
  const gradients = await trainer.gradients(0), { loss } = await trainer.next();
  trainer.free();
  return { gradients, loss };
}

async function scores(device: Device, model: Model) {
  const memory = new Memory(device), { frozen } = Generator.tensors(model);
  await loadWeights(model, memory, frozen);
  const scorer = await Scorer.create(model, memory, 32);
  const found = await scorer.score(rows.map((row) => Array.from(row.ids)));
  scorer.free();
  memory.free();
  return found;
}

for (const family of ["llama", "phi"] as const) {
  test.skipIf(!whole)(`${family}: the same in bindings of 42 KiB`, async () => {
    // The embedding and the head are 75 KiB each.
    const small = await narrow(42 * 1024), tiny = await model(family);
    const [cut, uncut] = [await step(small, tiny), await step(whole!, tiny)];
    expect(Math.abs(cut.loss - uncut.loss)).toBeLessThan(1e-6 * uncut.loss);
    for (const [name, want] of uncut.gradients) {
      const got = cut.gradients.get(name)!;
      let off = 0, all = 0;
      want.forEach((w, i) => (off += (got[i]! - w) ** 2, all += w ** 2));
      expect([name, Math.sqrt(off / all) < 1e-6]).toEqual([name, true]);
    }
    const [a, b] = [await scores(small, tiny), await scores(whole!, tiny)];
    b.forEach(({ argmax, logprobs }, i) => {
      expect(a[i]!.argmax).toEqual(argmax);
      logprobs.forEach((v, t) => expect(Math.abs(a[i]!.logprobs[t]! - v)).toBeLessThan(1e-6));
    });
    small.close();
  });
}

test.skipIf(!whole)("blocks of GGUF: the same in bindings of 256 KiB", async () => {
  const tokenizerDir = join(import.meta.dir, "../models/micro"); // of 1,536 tokens
  const changes = { hidden_size: 256, head_dim: 64, intermediate_size: 256, vocab_size: 1536 };
  const dir = await tinyModel("llama", undefined, changes);
  folders.push(dir);
  for (const quant of ["q8_0", "q6_k", "q4_k_m"] as const) {
    // The embedding, which is the head too, takes 315 or 408 KiB.
    const out = join(dir, `${quant}.gguf`), small = await narrow(256 * 1024);
    using folder = await openFolder(dir);
    await exportGguf({ model: folder, quant, out, tokenizerDir });
    const tiny = modelOf(openGgufModel(out));
    const [cut, uncut] = [await step(small, tiny), await step(whole!, tiny)];
    expect([quant, Math.abs(cut.loss - uncut.loss) < 1e-6 * uncut.loss]).toEqual([quant, true]);
    const [a, b] = [await scores(small, tiny), await scores(whole!, tiny)];
    b.forEach(({ logprobs }, i) => {
      logprobs.forEach((v, t) => expect(Math.abs(a[i]!.logprobs[t]! - v)).toBeLessThan(2e-6));
    });
    small.close();
  }
});

test.skipIf(!whole)("what cannot be taken in pieces is refused before the first step", async () => {
  const small = await narrow(8 * 1024), tiny = await model("llama");
  await expect(step(small, tiny)).rejects.toThrow(Fail);
  await expect(step(small, tiny)).rejects.toThrow("one binding of this GPU holds 8192");
  small.close();
});
