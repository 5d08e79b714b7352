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
import { Graph } from "../src/graph/graph.ts";
import { Memory } from "../src/graph/memory.ts";
import { Runner } from "../src/graph/runner.ts";
import type { Lora } from "../src/nn/net.ts";

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
