// jina-embeddings-v3 against a float64 forward pass written from its definition: hidden states with the adapter
// of each task and without one, embeddings of texts. `fixtures/jina.py` says how the numbers were made.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { loadWeights, netOf, openModel } from "../src/architectures/model.ts";
import { PackedSequences } from "../src/architectures/sequences.ts";
import { encode, promptOf, sentenceConfig } from "../src/commands/use/sentences.ts";
import { instructionOf } from "../src/commands/train/tasks.ts";
import { Embedder } from "../src/evaluate/embed.ts";
import { exportGguf } from "../src/export/gguf_model.ts";
import { openGgufModel } from "../src/export/gguf_folder.ts";
import { checkDrift } from "../src/export/verify.ts";
import { parseNpy } from "../src/formats/npy.ts";
import { Graph } from "../src/graph/graph.ts";
import { Memory } from "../src/graph/memory.ts";
import { Runner } from "../src/graph/runner.ts";
import { loadTokenizer } from "../src/text/tokenizer.ts";

const dir = join(import.meta.dir, "fixtures/jina"), hf = join(dir, "hf");
const device = await testDevice();
const run = test.skipIf(!device);
const out = mkdtempSync(join(tmpdir(), "whet-jina-"));
afterAll(() => rmSync(out, { recursive: true }));

const reference = JSON.parse(
  readFileSync(join(dir, "reference.json"), "utf8"),
) as {
  ids: number[];
  texts: string[];
  encoded: Record<string, number[][]>;
};
const numbers = (name: string) => {
  const { data, shape } = parseNpy(readFileSync(join(dir, name)), name);
  return {
    data: Array.from(data, Number),
    size: shape.slice(1).reduce((a, b) => a * b, 1),
  };
};
const tasks = Object.keys(reference.encoded);

run("hidden states without an adapter, and with each task's", async () => {
  const { data, size } = numbers("hidden.npy");
  for (const [i, task] of [undefined, ...tasks].entries()) {
    const model = await openModel(hf, task),
      memory = new Memory(device!),
      g = new Graph();
    const batch = new PackedSequences(g, model.sizes, 64);
    const hidden = batch.hidden(model, netOf(model, g, { positions: 64 }));
    await loadWeights(model, memory, g.all("frozen"));
    const runner = await Runner.prepare("hidden", memory, g.nodes, [hidden]);
    const [, at] = batch.fill(runner, [
      reference.ids.slice(3, 9),
      reference.ids,
    ], model);
    await runner.run();
    const got = (await runner.read(hidden)).slice(at! * model.sizes.width);
    const worst = data.slice(i * size, (i + 1) * size)
      .reduce((most, want, j) => Math.max(most, Math.abs(want - got[j]!)), 0);
    expect(worst, task).toBeLessThan(1e-4);
    runner.free();
    memory.free();
    model.folder.close();
  }
});

run(
  "embeddings of texts for each task, its instruction before them",
  async () => {
    const { data, size } = numbers("embeddings.npy"),
      tokenizer = await loadTokenizer(hf);
    for (const [i, task] of tasks.entries()) {
      const model = await openModel(hf, task), memory = new Memory(device!);
      const config = sentenceConfig({ model: hf }, model);
      expect([config.pooling, config.normalise]).toEqual(["mean", true]);
      const prompt = promptOf({}, config, instructionOf(model, task));
      const sentences = reference.texts.map((text) =>
        encode(text, { tokenizer, config, limit: 128, prompt })
      );
      expect(sentences.map(({ ids }) => ids)).toEqual(reference.encoded[task]!);
      await loadWeights(model, memory, Embedder.tensors(model).frozen);
      const embedder = await Embedder.create(model, memory, {
        tokens: 256,
        sentences: 4,
      }, config);
      const got = (await embedder.embed(sentences)).flatMap((row) => [...row]);
      const worst = data.slice(i * size, (i + 1) * size)
        .reduce((most, want, j) => Math.max(most, Math.abs(want - got[j]!)), 0);
      expect(worst, task).toBeLessThan(1e-5);
      embedder.free();
      memory.free();
      model.folder.close();
    }
  },
);

test("a task that the model does not have, and none where one is needed, are told with those there are", async () => {
  const all = tasks.join(", ");
  const failure = await openModel(hf, "retrieval").catch((error) => error);
  expect([failure.message, failure.why]).toEqual([
    "this model has no task retrieval",
    `it has ${all}`,
  ]);
  const model = await openModel(hf);
  expect(() => instructionOf(model, undefined)).toThrow("none is named");
  expect(instructionOf(model, "none")).toBe("");
  expect(instructionOf(model, "retrieval.passage")).toBe(
    "Represent the document for retrieval: ",
  );
  const bert = await openModel(
    join(import.meta.dir, "fixtures/gpt2/hf"),
    "separation",
  )
    .catch((error) => error);
  expect(bert.message).toBe(
    "--task separation: this model has no adapters for tasks",
  );
  const [one, other] = await Promise.all(
    tasks.slice(0, 2).map((task) => openModel(hf, task)),
  );
  expect(one!.folder.hash()).not.toBe(other!.folder.hash());
});

test("an adapter that does not fit its matrix is named", async () => {
  const broken = join(out, "broken");
  await Bun.$`cp -r ${hf} ${broken}`.quiet();
  const config = JSON.parse(readFileSync(join(hf, "config.json"), "utf8"));
  const fewer = { ...config, lora_adaptations: tasks.slice(1) };
  writeFileSync(join(broken, "config.json"), JSON.stringify(fewer));
  const model = await openModel(broken, tasks[1]);
  expect(() => model.folder.readF32("encoder.layers.0.mlp.fc1.weight"))
    .toThrow(
      "roberta.encoder.layers.0.mlp.fc1.parametrizations.weight.0.lora_A and B do not fit",
    );
});

test("GGUF with a task merged in: what is read back is the same model", async () => {
  const { folder } = await openModel(hf, "classification"),
    path = join(out, "jina.gguf");
  await exportGguf({ model: folder, quant: "f32", out: path, pooling: "mean" });
  checkDrift(path, folder);
  using back = openGgufModel(path);
  expect(back.tokenizer.encode(reference.texts[0]!)).toEqual(
    (await loadTokenizer(hf)).encode(reference.texts[0]!),
  );
});
