import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { testDevice } from "../../kernels/check.ts";
import { runReference } from "../../kernels/reference.ts";
import { tinyModel, tinyRows } from "../../tests/tiny.ts";
import { loadWeights, openModel } from "../architectures/model.ts";
import { Memory } from "../graph/memory.ts";
import type { Tensor } from "../graph/tensor.ts";
import { cutRuns, inputSums, recordInputs } from "./inputs.ts";

setDefaultTimeout(120_000);
const device = await testDevice();
const texts = tinyRows(6).map(({ ids }) => ids);

test("texts are cut into equal runs; only what does not fill one is left out", () => {
  expect(cutRuns([[1, 2, 3], [4, 5, 6, 7, 8], [9]], 4)).toEqual([
    [[1, 2, 3], [4]],
    [[5, 6, 7, 8]],
  ]);
});

for (const family of ["llama", "phi"] as const) {
  test.skipIf(!device)(
    `${family}: squares of inputs are those of the model in float64`,
    async () => {
      const dir = await tinyModel(family), model = await openModel(dir);
      afterAll(() => rmSync(dir, { recursive: true }));
      const memory = new Memory(device!);
      const { g, layers: sums } = recordInputs(model, 20);
      await loadWeights(model, memory, g.all("frozen"));
      const { layers, runs, tokens } = await inputSums(model, memory, texts, { most: 24 });
      memory.free();
      const total = texts.flat().length;
      expect([runs, runs * tokens <= total, total - runs * tokens < runs]).toEqual([
        Math.ceil(total / 24),
        true,
        true,
      ]);

      const record = recordInputs(model, tokens);
      const expected = new Map<string, Float64Array>();
      for (const run of cutRuns(texts, tokens)) {
        const given = new Map<Tensor, Float64Array>(
          record.g.all("frozen").map((t) => [t, Float64Array.from(model.folder.readF32(t.name))]),
        );
        for (const t of record.g.all("input")) given.set(t, new Float64Array(2));
        const runner = {
          reads: () => true,
          write: (t: Tensor, data: ArrayLike<number>) => void given.set(t, Float64Array.from(data)),
        };
        record.batch.fill(runner, run.map((ids) => ({ ids, labels: ids.map(() => -100) })), 1);
        const values = runReference(record.g.nodes, given);
        for (const [name, sum] of record.layers) {
          const before = expected.get(name) ?? new Float64Array(sum.shape[0]!);
          expected.set(name, before.map((v, i) => v + values.get(sum)![i]!));
        }
      }
      expect([...layers.keys()].sort()).toEqual([...sums.keys()].sort());
      expect(layers.size).toBe(family === "llama" ? 14 : 12);
      for (const [name, { squares, count }] of layers) {
        expect(count).toBe(runs * tokens);
        const worst = Math.max(
          ...squares.map((v, i) => Math.abs(v / expected.get(name)![i]! - 1)),
        );
        expect([name, worst < 1e-4]).toEqual([name, true]);
      }
    },
  );
}
