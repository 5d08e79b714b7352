// Families without reference numbers of their own, held against Llama's: with the right settings they are
// the same function of the same weights, and where they differ, what differs can be said exactly.
import { afterAll, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { loadWeights, openModel } from "../src/architectures/model.ts";
import { Scorer } from "../src/evaluate/score.ts";
import { parseNpy } from "../src/formats/npy.ts";
import { Generator } from "../src/generate/generator.ts";
import { Memory } from "../src/graph/memory.ts";
import { layOut } from "../src/trainer/layout.ts";
import { supervised } from "../src/trainer/objectives/sft.ts";
import { Trainer } from "../src/trainer/trainer.ts";
import { inOne, llamaAs } from "./llama_as.ts";

const fixture = join(import.meta.dir, "../../shared/fixtures/models/llama");
const device = existsSync(fixture) ? await testDevice() : undefined;
if (!device) console.warn("SKIPPED families held against Llama's reference numbers");
const run = test.skipIf(!device);

const made: string[] = [];
afterAll(() => made.forEach((dir) => rmSync(dir, { recursive: true })));
const json = (name: string) => JSON.parse(readFileSync(join(fixture, name), "utf8"));
const folderOf: typeof llamaAs = async (...given) => {
  const dir = await llamaAs(...given);
  made.push(dir);
  return dir;
};

/** Log-probabilities of the rows' tokens. */
async function scoresOf(dir: string, rows: readonly number[][]): Promise<number[][]> {
  const model = await openModel(dir), memory = new Memory(device!);
  await loadWeights(model, memory, Generator.tensors(model).frozen);
  const scorer = await Scorer.create(model, memory, 64);
  const scores: number[][] = [];
  for await (const { logprobs } of scorer.scores(rows)) scores.push(logprobs);
  scorer.free();
  memory.free();
  model.folder.close();
  return scores;
}

const plain = { bos_token_id: 0, eos_token_id: 0 };
const same: [string, () => Promise<string>][] = [
  ["mistral without a window", () => folderOf({ model_type: "mistral", sliding_window: null })],
  [
    "smollm3 that turns in every layer",
    () => folderOf({ model_type: "smollm3", no_rope_layers: [1, 1], ...plain }),
  ],
  ["phi3, projections in one", () => folderOf({ model_type: "phi3", sliding_window: null }, inOne)],
];
for (const [what, folder] of same) {
  run(`${what} is Llama: log-probabilities and 24 greedy tokens`, async () => {
    const dir = await folder(), ids: number[] = json("ids.json");
    const [logprobs] = await scoresOf(dir, [ids]);
    const logits = parseNpy(readFileSync(join(fixture, "logits.npy")), "logits.npy");
    const vocab = logits.shape[1]!;
    logprobs!.forEach((found, t) => {
      const row = Array.from({ length: vocab }, (_, v) => Number(logits.data[t * vocab + v]));
      const sum = Math.log(row.reduce((s, l) => s + Math.exp(l), 0));
      expect(Math.abs(row[ids[t + 1]!]! - sum - found)).toBeLessThan(1e-4);
    });

    const model = await openModel(dir), memory = new Memory(device!);
    await loadWeights(model, memory, Generator.tensors(model).frozen);
    const generator = await Generator.create(model, memory, { slots: 1, context: 48, prefill: 8 });
    const { prompt_ids, greedy_24 } = json("reference.json");
    const asked = [{ ids: prompt_ids, maxTokens: 24 }];
    const sampling = { temperature: 0, topP: 1, seed: 1 };
    for await (const answer of generator.answers(asked, new Set(), sampling)) {
      expect(answer.ids).toEqual(greedy_24);
    }
    generator.free();
    memory.free();
    model.folder.close();
  });
}

run("phi3, projections in one: 20 optimiser steps on all weights are Llama's", async () => {
  const model = await openModel(await folderOf({ model_type: "phi3" }, inOne));
  const { rows: given, full } = json("reference.json") as {
    rows: { input_ids: number[]; labels: number[] }[];
    full: { curve: number[] };
  };
  const rows = given.map(({ input_ids: ids, labels }) => ({ ids, labels }));
  const plan = layOut(rows.map((row) => ({ tokens: row.ids.length, targets: supervised(row) })), {
    rows: rows.length,
    fill: false,
    epochs: 1,
    iterations: 20,
    seed: 1,
    shuffle: false,
    budget: 512,
  });
  const recipe = { size: plan.size, positions: 64, full: true };
  const trainer = await Trainer.create(device!, model, recipe, rows, plan, {
    betas: [0.9, 0.999],
    eps: 1e-8,
    weightDecay: 0.01,
    maxGradNorm: 1,
    seed: 1,
    rate: () => 1e-3,
  });
  for (let step = 0; step < 20; step++) {
    const { loss } = await trainer.next();
    expect(Math.abs(loss - full.curve[step]!)).toBeLessThan(step < 10 ? 1e-4 : 1e-3);
  }
  trainer.free();
}, 120_000);

const text = [7, 300, 21, 45, 260, 99, 11, 402, 8, 51, 73, 5];
run("mistral: a token as far back as the window is long is not seen", async () => {
  const one = { model_type: "mistral", num_hidden_layers: 1 };
  const first = [...text], second = [...text];
  second[0] = 150; // the last prediction is made at place 10: a window of 10 begins at place 1
  const last = async (window: number) => {
    const dir = await folderOf({ ...one, sliding_window: window });
    return (await scoresOf(dir, [first, second])).map((logprobs) => logprobs.at(-1)!);
  };
  const [near, changed] = await last(10);
  expect(near).toBe(changed!);
  const [seen, moved] = await last(11);
  expect(Math.abs(seen! - moved!)).toBeGreaterThan(1e-4);
});

run("smollm3: a layer that does not turn sees a bag of tokens", async () => {
  const one = { model_type: "smollm3", num_hidden_layers: 1, ...plain };
  const mixed = [...text.slice(0, 10).reverse(), ...text.slice(10)];
  const last = async (turns: number) => {
    const dir = await folderOf({ ...one, no_rope_layers: [turns] });
    return (await scoresOf(dir, [text, mixed])).map((logprobs) => logprobs.at(-1)!);
  };
  const [forward, backward] = await last(0);
  expect(Math.abs(forward! - backward!)).toBeLessThan(1e-5);
  const [turned, other] = await last(1);
  expect(Math.abs(turned! - other!)).toBeGreaterThan(1e-4);
});
