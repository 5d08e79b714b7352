// What is written of GPT-2 has its matrices [in, out] again, as transformers and PEFT read them.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { loadWeights, openModel } from "../src/architectures/model.ts";
import { writeModel } from "../src/commands/train/full_weights.ts";
import { Scorer } from "../src/evaluate/score.ts";
import { exportRun } from "../src/export/export.ts";
import { openModel as openFolder } from "../src/formats/model_folder.ts";
import { parseNpy } from "../src/formats/npy.ts";
import { Generator } from "../src/generate/generator.ts";
import { Memory } from "../src/graph/memory.ts";

const fixture = join(import.meta.dir, "fixtures/gpt2"), base = join(fixture, "hf");
const device = await testDevice();
const dir = mkdtempSync(join(tmpdir(), "whet-gpt2-"));
afterAll(() => rmSync(dir, { recursive: true }));

const shapes = async (path: string) => {
  using folder = await openFolder(path);
  return new Map([...folder.tensors].map(([name, { shape }]) => [name, shape]));
};

test.skipIf(!device)(
  "merged: shapes of the base, log-probabilities of PEFT's own merge",
  async () => {
    const out = join(dir, "merged");
    await exportRun({ source: join(fixture, "peft"), base, out, form: "merged" });
    expect(await shapes(out)).toEqual(await shapes(base));
    const model = await openModel(out), memory = new Memory(device!);
    await loadWeights(model, memory, Generator.tensors(model).frozen);
    const scorer = await Scorer.create(model, memory, 64);
    const ids: number[] = JSON.parse(readFileSync(join(fixture, "ids.json"), "utf8"));
    const [score] = await scorer.score([ids]);
    const logits = parseNpy(readFileSync(join(fixture, "logits_merged.npy")), "logits_merged.npy");
    const vocab = logits.shape[1]!;
    score!.logprobs.forEach((found, t) => {
      const row = Array.from({ length: vocab }, (_, v) => Number(logits.data[t * vocab + v]));
      const sum = Math.log(row.reduce((s, l) => s + Math.exp(l), 0));
      // The base is F16, and so is what is merged into it.
      expect(Math.abs(row[ids[t + 1]!]! - sum - found)).toBeLessThan(5e-3);
    });
    scorer.free();
    memory.free();
    model.folder.close();
  },
);

test("all weights: what was trained and what was not, each as the files have it", async () => {
  const { folder } = await openModel(base), out = join(dir, "full");
  const name = "transformer.h.1.mlp.c_fc.weight", { shape } = folder.tensors.get(name)!;
  expect(shape).toEqual([128, 64]);
  const data = folder.readF32(name).map((v) => 2 * v);
  await writeModel(out, folder, new Map([[name, { shape, data }]]));
  expect(await shapes(out)).toEqual(await shapes(base));
  using before = await openFolder(base);
  using after = await openFolder(out);
  expect(after.readF32(name)).toEqual(before.readF32(name).map((v) => 2 * v));
  for (const other of ["transformer.h.0.attn.c_attn.weight", "transformer.wte.weight"]) {
    expect(after.readBytes(other)).toEqual(before.readBytes(other));
  }
  folder.close();
});
