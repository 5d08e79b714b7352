/**
 * Trains the micro base model from random weights on the rows that make.ts wrote, and puts its weights,
 * rounded to f16, beside its tokenizer.
 *
 *   bun scripts/micro/make.ts && bun scripts/micro/train.ts [--lr 2e-3] [--epochs 1] [--rows FILE]
 *
 * Small steps, in the order of the rows, from large random weights: with a deviation of 0.02 instead of
 * 0.08, or without the repeating that comes first, copying is learnt several times later.
 *
 * Same rows, same settings, same adapter: same bytes.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { manifest, openModel, specOf } from "../../src/architectures/model.ts";
import { fromF32 } from "../../src/base/bits.ts";
import { normalFill } from "../../src/base/random.ts";
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import { Device } from "../../src/gpu/device.ts";
import { count } from "../../src/graph/tensor.ts";
import { start, train } from "../../src/trainer/loop.ts";
import { prepare } from "../../src/trainer/prepare.ts";

const { values: flags } = parseArgs({
  options: {
    rows: { type: "string", default: "models/micro-rows/train.jsonl" },
    lr: { type: "string", default: "2e-3" },
    epochs: { type: "string", default: "1" },
    batch: { type: "string", default: "12" },
    seed: { type: "string", default: "1" },
    limit: { type: "string" },
  },
});
const OUT = "models/micro", START = "models/micro-start", seed = Number(flags.seed);

await writeStart();
const rows = readFileSync(flags.rows, "utf8").trimEnd().split("\n")
  .slice(0, flags.limit ? Number(flags.limit) : undefined)
  .map((line) => {
    const { input_ids, labels } = JSON.parse(line);
    return { ids: input_ids as number[], labels: labels as number[] };
  });
const validation = rows.splice(-500), model = await openModel(START);
const prepared = prepare(model, rows, validation, [], {
  full: true,
  rank: 1,
  alpha: 1,
  use_rslora: false,
  dropout: 0,
  lr: Number(flags.lr),
  scheduler: "cosine",
  warmup: 0.05,
  weight_decay: 0.01,
  max_grad_norm: 1,
  betas: [0.9, 0.98],
  eps: 1e-8,
  epochs: Number(flags.epochs),
  batch: Number(flags.batch),
  accum: 1,
  max_seq: 256,
  packing: false,
  shuffle: false,
  seed,
  grad_checkpoint: "off",
  eval_every: 200,
  best: "val_loss",
});
const device = await Device.open(), trainer = await start(device, prepared);
console.log(
  `${device.capabilities.adapter}: ${trainer.parameters.all} parameters, ${prepared.batches.steps} steps`,
);
let tokens = 0, since = performance.now();
await train(trainer, prepared, {
  step(result) {
    tokens += result.tokens;
    if (result.step % 20 !== 0) return;
    const speed = tokens / (performance.now() - since) * 1000;
    console.log(
      `step ${result.step} loss ${result.loss.toFixed(4)} norm ${result.gradNorm.toFixed(2)} ${
        speed.toFixed(0)
      } tok/s`,
    );
    [tokens, since] = [0, performance.now()];
  },
  async measured({ step, measures }) {
    console.log(`step ${step} validation loss ${measures.val_loss!.toFixed(4)}`);
    await save();
  },
  save: async () => {},
  skipped: (result, tensors) => console.log("skipped", result.step, tensors),
  stop: () => false,
});
await save();
rmSync(START, { recursive: true });
process.exit(0);

/** The weights as they are now, in f16, beside the tokenizer. */
async function save(): Promise<void> {
  const tensors = [...await trainer.weights()].map(([name, { shape, data }]) => ({
    name,
    dtype: "F16" as const,
    shape,
    data: fromF32(data, "F16"),
  }));
  await writeSafetensors(join(OUT, "model.safetensors"), tensors);
}

/**
 * Random weights: normal with config.json's deviation, smaller by the square root of twice the layers
 * where a block writes into the residual stream (as GPT-2 does); norms 1.
 */
async function writeStart(): Promise<void> {
  mkdirSync(START, { recursive: true });
  for (const name of ["config.json", "tokenizer.json", "tokenizer_config.json"]) {
    writeFileSync(join(START, name), readFileSync(join(OUT, name)));
  }
  const config = JSON.parse(readFileSync(join(OUT, "config.json"), "utf8"));
  const shape = specOf(config);
  await writeSafetensors(
    join(START, "model.safetensors"),
    manifest(shape).map((t, i) => {
      const writes = /\.(o_proj|down_proj)\./.test(t.name);
      const deviation = config.initializer_range /
        (writes ? Math.sqrt(2 * config.num_hidden_layers) : 1);
      const data = t.shape.length === 1
        ? new Float32Array(count(t.shape)).fill(1)
        : normalFill(seed, i, count(t.shape), deviation);
      return {
        name: t.name,
        dtype: "F32" as const,
        shape: t.shape,
        data: new Uint8Array(data.buffer),
      };
    }),
  );
}
