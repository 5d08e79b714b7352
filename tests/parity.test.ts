// The same model as Hugging Face transformers, PEFT and torch: log-probabilities, greedy tokens, gradients
// and 20 optimiser steps against reference numbers.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { loadWeights, openModel, type Quant } from "../src/architectures/model.ts";
import { Scorer } from "../src/evaluate/score.ts";
import { readAdapter } from "../src/formats/peft.ts";
import { parseNpy } from "../src/formats/npy.ts";
import { openSafetensors } from "../src/formats/safetensors.ts";
import { Generator } from "../src/generate/generator.ts";
import { Memory } from "../src/graph/memory.ts";
import type { Lora } from "../src/nn/net.ts";
import { layOut } from "../src/trainer/layout.ts";
import { supervised } from "../src/trainer/objectives/sft.ts";
import { Trainer } from "../src/trainer/trainer.ts";
import { testDevice } from "../kernels/check.ts";

const fixtures = join(import.meta.dir, "../../shared/fixtures/models");
const device = await testDevice();
if (!existsSync(fixtures)) {
  console.warn("SKIPPED parity with reference models: no fixtures beside the project");
}

interface Reference {
  prompt_ids: number[];
  greedy_24: number[];
  rows: { input_ids: number[]; labels: number[] }[];
  sft: { loss: number; grad_norm: number; curve: number[]; grad_norms: number[] };
  /** On a base in NF4, with double quantisation but for our own. */
  qlora: { curve: number[]; grad_norms: number[] };
  full: { curve: number[]; grad_norms?: number[] };
}

const half = "f16" as const;

/** The fixtures' adapters: rank 8, alpha 16, every linear layer but the head. */
const lora: Lora = {
  rank: 8,
  alpha: 16,
  rslora: false,
  dropout: 0,
  targets: (module) => module !== "lm_head",
};
const optimizer = {
  betas: [0.9, 0.999] as const,
  eps: 1e-8,
  weightDecay: 0.01,
  maxGradNorm: 1,
  seed: 1,
  rate: () => 1e-3,
};

const shared = ["llama", "llama_tied", "phi2", "qwen2", "qwen3", "gemma2", "gemma3"];
/** Models whose references are the project's own: `fixtures/NAME.py` says how they were made. */
const own = ["gpt2"];
for (const name of [...shared, ...own]) {
  const dir = join(own.includes(name) ? join(import.meta.dir, "fixtures") : fixtures, name);
  const quant: Quant = { type: "nf4", double: !own.includes(name) };
  const run = test.skipIf(!device || !existsSync(dir));
  const reference = (): Reference => JSON.parse(readFileSync(join(dir, "reference.json"), "utf8"));
  const adapter = async () => {
    const { tensors } = await readAdapter(join(dir, "peft"));
    return new Map([...tensors].map(([key, t]) => [key, t.data]));
  };

  const scored = [
    { what: "of the base", file: "logits.npy", adapted: false, bound: 1e-4 },
    { what: "with the adapter", file: "logits_adapter.npy", adapted: true, bound: 1e-4 },
    {
      what: "with the adapter on a base in NF4",
      file: "logits_qlora.npy",
      adapted: true,
      bound: 2e-4,
      quant,
    },
    // The references are f32: these bounds say what storing activations in f16 costs.
    { what: "in f16", file: "logits_adapter.npy", adapted: true, bound: 0.02, compute: half },
    {
      what: "in f16 on a base in NF4",
      file: "logits_qlora.npy",
      adapted: true,
      bound: 0.02,
      quant,
      compute: half,
    },
  ];
  for (const { what, file, adapted, bound, quant, compute } of scored) {
    run(`${name}: log-probabilities ${what}`, async () => {
      const model = { ...await openModel(join(dir, "hf")), quant, compute };
      const memory = new Memory(device!);
      const { frozen, trained } = Generator.tensors(model, adapted ? { lora } : {});
      memory.layOut(trained);
      await loadWeights(model, memory, frozen);
      const weights = await adapter();
      for (const t of trained) memory.write(t, weights.get(t.name)!);
      const { ids } = readIds(dir);
      const scorer = await Scorer.create(model, memory, 64, adapted ? { lora } : {});
      const [score] = await scorer.score([ids]);
      const logits = parseNpy(readFileSync(join(dir, file)), file);
      const vocab = logits.shape[1]!;
      let worst = 0;
      for (let t = 0; t < ids.length; t++) {
        const row = Array.from({ length: vocab }, (_, v) => Number(logits.data[t * vocab + v]));
        const top = Math.max(...row);
        const logSum = top + Math.log(row.reduce((s, l) => s + Math.exp(l - top), 0));
        const slack = compute ? bound : 0;
        expect(row[score!.argmax[t]!]!).toBeGreaterThanOrEqual(top - slack);
        if (t + 1 < ids.length) {
          worst = Math.max(worst, Math.abs(row[ids[t + 1]!]! - logSum - score!.logprobs[t]!));
        }
      }
      expect(worst).toBeLessThan(bound);
      scorer.free();
      memory.free();
    });
  }

  run(`${name}: 24 greedy tokens`, async () => {
    const model = await openModel(join(dir, "hf")), memory = new Memory(device!);
    await loadWeights(model, memory, Generator.tensors(model).frozen);
    const size = { slots: 2, context: 48, prefill: 8 };
    const generator = await Generator.create(model, memory, size);
    const { prompt_ids, greedy_24 } = reference();
    const asked = [prompt_ids, prompt_ids.slice(0, 5), prompt_ids].map((ids) => ({
      ids,
      maxTokens: 24,
    }));
    const answers = [];
    for await (
      const answer of generator.answers(asked, new Set(), { temperature: 0, topP: 1, seed: 1 })
    ) {
      answers.push(answer.ids);
    }
    expect(answers[0]).toEqual(greedy_24);
    expect(answers[2]).toEqual(greedy_24);
    generator.free();
    memory.free();
  });

  for (const compute of [undefined, half]) {
    run(`${name}: first adapter gradients${compute ? " in f16" : ""}`, async () => {
      const { trainer } = await prepare(dir, reference(), { compute });
      trainer.start(await adapter());
      const got = await trainer.gradients(0);
      using file = openSafetensors(join(dir, "sft_grads.safetensors"));
      expect(file.tensors.size).toBe(got.size);
      for (const [key, gradient] of got) {
        const want = file.readF32(`base_model.model.${key}`);
        expect(relative(gradient, want)).toBeLessThan(compute ? 0.02 : 1e-4);
      }
      trainer.free();
    });
  }

  const modes: Record<string, Mode> = {
    "adapter": {},
    "adapter, recomputed": { recompute: true },
    "adapter on NF4": { quant },
    "full": { full: true },
    "adapter in f16": { compute: half },
    "full in f16": { full: true, compute: half },
  };
  for (const [named, mode] of Object.entries(modes)) {
    run(`${name}: 20 optimiser steps, ${named}`, async () => {
      const want = reference(), { full, quant: on, compute } = mode;
      const { trainer } = await prepare(dir, want, mode);
      if (!full) trainer.start(await adapter());
      const { curve, grad_norms } = full ? want.full : on ? want.qlora : want.sft;
      for (let step = 0; step < 20; step++) {
        const { loss, gradNorm, applied } = await trainer.next();
        expect(applied).toBe(true);
        expect(Math.abs(loss - curve[step]!)).toBeLessThan(
          compute ? 5e-3 : step < 10 ? 1e-4 : 1e-3,
        );
        if (step < 10 && grad_norms && !compute) {
          expect(Math.abs(gradNorm / grad_norms[step]! - 1)).toBeLessThan(1e-3);
        }
      }
      trainer.free();
    }, 120_000);
  }
}

interface Mode {
  readonly full?: boolean;
  readonly recompute?: boolean;
  readonly quant?: Quant;
  readonly compute?: "f16";
}

async function prepare(
  dir: string,
  want: Reference,
  { full = false, recompute = false, quant, compute }: Mode,
) {
  const model = { ...await openModel(join(dir, "hf")), quant, compute };
  const rows = want.rows.map((row) => ({ ids: row.input_ids, labels: row.labels }));
  const lengths = rows.map((row) => ({ tokens: row.ids.length, targets: supervised(row) }));
  const plan = layOut(lengths, {
    rows: rows.length,
    fill: false,
    epochs: 1,
    iterations: 20,
    seed: 1,
    shuffle: false,
    budget: 512,
  });
  const keep = recompute ? { whole: 0, held: 1 } : undefined;
  const recipe = { size: plan.size, positions: 64, lora: full ? undefined : lora, full, keep };
  const trainer = await Trainer.create(device!, model, recipe, rows, plan, optimizer);
  return { trainer, model };
}

function readIds(dir: string): { ids: number[] } {
  const json = JSON.parse(readFileSync(join(dir, "ids.json"), "utf8"));
  return { ids: Array.isArray(json) ? json : json.ids };
}

function relative(got: Float32Array, want: Float32Array): number {
  let off = 0, all = 0;
  want.forEach((w, i) => {
    off += (got[i]! - w) ** 2;
    all += w ** 2;
  });
  return Math.sqrt(off / all);
}
