// The same encoder as Hugging Face transformers and PEFT: hidden states and embeddings against reference
// numbers.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { loadWeights, netOf, openModel, specOf } from "../src/architectures/model.ts";
import { PackedSequences } from "../src/architectures/sequences.ts";
import { Embedder } from "../src/evaluate/embed.ts";
import { parseNpy } from "../src/formats/npy.ts";
import { readAdapter } from "../src/formats/peft.ts";
import { openSafetensors } from "../src/formats/safetensors.ts";
import { Graph } from "../src/graph/graph.ts";
import { Memory } from "../src/graph/memory.ts";
import { Runner } from "../src/graph/runner.ts";
import type { Lora } from "../src/nn/net.ts";
import { start } from "../src/trainer/loop.ts";
import { embed } from "../src/trainer/objectives/embed.ts";
import { prepare } from "../src/trainer/prepare.ts";

const dir = join(import.meta.dir, "../../shared/fixtures/models/bert");
const device = existsSync(dir) ? await testDevice() : undefined;
if (!existsSync(dir)) console.warn("SKIPPED parity of encoders: no fixtures beside the project");
const run = test.skipIf(!device);

const lora: Lora = {
  rank: 4,
  alpha: 8,
  rslora: false,
  dropout: 0,
  targets: (module) => /(query|value)$/.test(module),
};
const json = (name: string) => JSON.parse(readFileSync(join(dir, name), "utf8"));

run("bert: hidden states, alone and packed with others", async () => {
  const model = await openModel(join(dir, "hf")), memory = new Memory(device!);
  const given = json("ids.json"), ids: number[] = Array.isArray(given) ? given : given.ids;
  const g = new Graph(), batch = new PackedSequences(g, model.sizes, 128);
  const hidden = batch.hidden(model, netOf(model, g, { positions: 128 }));
  await loadWeights(model, memory, g.all("frozen"));
  const runner = await Runner.prepare("hidden", memory, g.nodes, [hidden]);
  const want = parseNpy(readFileSync(join(dir, "hidden.npy")), "hidden.npy").data;
  for (const rows of [[ids], [ids.slice(3, 20), ids, ids.slice(0, 9)]]) {
    const at = batch.fill(runner, rows, model)[rows.indexOf(ids)]! * model.sizes.width;
    await runner.run();
    const got = await runner.read(hidden);
    let worst = 0;
    want.forEach((w, i) => worst = Math.max(worst, Math.abs(Number(w) - got[at + i]!)));
    expect(worst).toBeLessThan(1e-4);
  }
  runner.free();
  memory.free();
});

run("bert: embeddings with the adapter", async () => {
  const model = await openModel(join(dir, "hf")), memory = new Memory(device!);
  const { frozen, trained } = Embedder.tensors(model, { lora });
  memory.layOut(trained);
  await loadWeights(model, memory, frozen);
  const { tensors } = await readAdapter(join(dir, "peft"));
  for (const t of trained) memory.write(t, tensors.get(t.name)!.data);
  const { triplets, embeddings } = json("embed.json") as Record<string, number[][][]>;
  const how = { pooling: "mean", normalise: false } as const;
  const embedder = await Embedder.create(model, memory, { tokens: 64, sentences: 4 }, how, {
    lora,
  });
  const sentences = triplets!.flat().map((ids) => ({ ids: ids as unknown as number[] }));
  const got = await Array.fromAsync(embedder.embeddings(sentences));
  let worst = 0;
  embeddings!.flat().forEach((row, s) =>
    (row as unknown as number[]).forEach((w, c) => {
      worst = Math.max(worst, Math.abs(w - got[s]![c]!));
    })
  );
  expect(got.length).toBe(9);
  expect(worst).toBeLessThan(1e-5);
  embedder.free();
  memory.free();
});

run("bert: a config in the style of transformers 4 is the same model", () => {
  const [five, four] = ["hf/config.json", "config_v4_style.json"].map((name) => specOf(json(name)));
  expect(four!.config).toEqual(five!.config);
});

const adapter = async () => {
  const { tensors } = await readAdapter(join(dir, "peft"));
  return new Map([...tensors].map(([key, t]) => [key, t.data]));
};
const losses = {
  "triplet_euclidean_margin5": { loss: "triplet", distance: "l2", margin: 5 },
  "triplet_cosine_margin0.5": { loss: "triplet", distance: "cosine", margin: 0.5 },
  "mnr_scale20": { loss: "mnr", distance: "cosine", margin: 0 },
} as const;
for (const [name, options] of Object.entries(losses)) {
  run(`bert: ${name}: loss, gradients and their norm`, async () => {
    const model = await openModel(join(dir, "hf"));
    const { triplets, ...want } = json("embed.json");
    const rows = (triplets as number[][][]).map((parts) => ({
      ids: parts.flat(),
      labels: [],
      texts: parts.map(({ length }) => ({ length })),
    }));
    const settings = { ...run20, batch: rows.length };
    const objective = embed({ ...options, scale: 20, pooling: "mean" });
    const p = prepare(model, rows, [], ["query", "value"], settings, Infinity, objective);
    const trainer = await start(device!, p);
    trainer.start(await adapter());
    using file = openSafetensors(join(dir, `grads_${name}.safetensors`));
    for (const [key, gradient] of await trainer.gradients(0)) {
      expect(relative(gradient, file.readF32(`base_model.model.${key}`))).toBeLessThan(1e-4);
    }
    const { loss, gradNorm } = await trainer.next();
    expect(Math.abs(loss - want[name].loss)).toBeLessThan(1e-5);
    expect(Math.abs(gradNorm / want[name].grad_norm - 1)).toBeLessThan(1e-4);
    trainer.free();
  });
}

const run20 = {
  full: false,
  rank: 4,
  alpha: 8,
  use_rslora: false,
  dropout: 0,
  lr: 1e-3,
  scheduler: "constant" as const,
  warmup: 0,
  weight_decay: 0,
  max_grad_norm: 0,
  betas: [0.9, 0.999] as const,
  eps: 1e-8,
  epochs: 1,
  batch: 8,
  accum: 1,
  max_seq: 512,
  packing: false,
  shuffle: false,
  seed: 1,
  grad_checkpoint: "off" as const,
  eval_every: "epoch" as const,
  best: "val_loss",
};

function relative(got: Float32Array, want: Float32Array): number {
  let off = 0, all = 0;
  want.forEach((w, i) => {
    off += (got[i]! - w) ** 2;
    all += w ** 2;
  });
  return Math.sqrt(off / all);
}
