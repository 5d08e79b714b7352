// Whole models on weights in 8 bits: the same as on those weights written out, and near the model as it was.
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { loadWeights, type Model, openModel, type Quant } from "../src/architectures/model.ts";
import { fromF32 } from "../src/base/bits.ts";
import { normalFill } from "../src/base/random.ts";
import { Scorer } from "../src/evaluate/score.ts";
import { dequantiseRows, quantiseStoredRows } from "../src/formats/int8.ts";
import { Generator } from "../src/generate/generator.ts";
import { Memory } from "../src/graph/memory.ts";

const device = await testDevice();
const fixtures = join(import.meta.dir, "../../shared/fixtures/models");
const models = {
  micro: join(import.meta.dir, "../models/micro"),
  llama: join(fixtures, "llama/hf"),
  phi2: join(fixtures, "phi2/hf"),
};

/** Log-probabilities of 60 tokens, the same for every model of that vocabulary. */
async function logprobs(model: Model): Promise<Float32Array> {
  const ids = [...normalFill(9, 0, 60, 1)].map((v) =>
    Math.floor(Math.abs(v) * 1e4) % model.sizes.vocab
  );
  const memory = new Memory(device!);
  await loadWeights(model, memory, Generator.tensors(model).frozen);
  const scorer = await Scorer.create(model, memory, 64, {});
  const [score] = await scorer.score([ids]);
  scorer.free();
  memory.free();
  return Float32Array.from(score!.logprobs);
}

/** The model with its linear layers rounded to 8 bits and written out again. */
function rounded(model: Model): Model {
  const linears = new Set(model.architecture.linears), { folder } = model;
  const is = (name: string) => name.endsWith(".weight") && linears.has(name.split(".").at(-2)!);
  const readF32 = (name: string, from?: number, to?: number) => {
    const x = folder.readF32(name, from, to), width = folder.tensors.get(name)!.shape[1]!;
    return is(name)
      ? dequantiseRows(quantiseStoredRows(fromF32(x, "F32"), "F32", width), width)
      : x;
  };
  const tensors = new Map(
    [...folder.tensors].map(([name, t]) => [name, is(name) ? { ...t, dtype: "F32" as const } : t]),
  );
  return { ...model, folder: { ...folder, tensors, readF32 } };
}

const rms = (x: Float32Array) => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length);

for (const [name, dir] of Object.entries(models)) {
  if (!existsSync(dir)) console.warn(`SKIPPED ${name} in 8 bits: no fixtures beside the project`);
  test.skipIf(!device || !existsSync(dir))(`${name} in 8 bits`, async () => {
    const model = await openModel(dir);
    const kept = (quant: Quant) => logprobs({ ...model, quant });
    const [base, int8] = [await logprobs(model), await kept({ type: "int8" })];
    const written = await logprobs(rounded(model));
    expect(Math.max(...int8.map((v, i) => Math.abs(v - written[i]!)))).toBeLessThan(1e-4);

    // Rounding to steps of absmax / 127, some 3 σ / 127, errs by 3 / 127 / √12 = 0.7 % of σ; NF4's codes
    // by some 9 %. What comes out drifts in that proportion, and by 0.7 % times the root of the number of
    // layers where they add up at random, of a spread of some √2 times that of the log-probabilities.
    const drift = rms(int8.map((v, i) => v - base[i]!));
    const nf4 = await kept({ type: "nf4", double: false });
    const ratio = drift / rms(nf4.map((v, i) => v - base[i]!));
    expect(ratio).toBeGreaterThan(0.007 / 0.09 / 2);
    expect(ratio).toBeLessThan(0.007 / 0.09 * 2);
    const mean = base.reduce((a, b) => a + b, 0) / base.length;
    const layers = model.architecture.linears.length *
      Number(model.folder.config.num_hidden_layers);
    const spread = Math.SQRT2 * rms(base.map((v) => v - mean));
    expect(drift).toBeLessThan(2 * 0.007 * Math.sqrt(layers) * spread);
    model.folder.close();
  });
}
