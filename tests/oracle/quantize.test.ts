/** Files quantised by an importance matrix, against llama.cpp's own quantiser: types and bytes. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GgufQuant, ggufQuants } from "../../src/export/gguf_mixtures.ts";
import { exportGguf } from "../../src/export/gguf_model.ts";
import { openGguf } from "../../src/formats/gguf.ts";
import { type InputSums, readImatrix, writeImatrix } from "../../src/formats/imatrix.ts";
import { openModel } from "../../src/formats/model_folder.ts";
import { llamaAs } from "../llama_as.ts";
import { startOracle } from "./oracle.ts";

setDefaultTimeout(120_000);
const fixtures = `${import.meta.dir}/../../../shared/fixtures/models`;
const started = existsSync(fixtures)
  ? await startOracle()
  : `model fixtures are not at ${fixtures}`;
if (typeof started === "string") console.log(`skipped: ${started}`);
else await started.close();

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), "whet-"))));
afterAll(() => rm(dir, { recursive: true }));

/** Importances of all layers' inputs: every column another, a few of them by far the largest. */
async function matrixFor(gguf: string, path: string) {
  using file = openGguf(gguf);
  const sums = new Map<string, InputSums>();
  for (const [name, { shape }] of file.tensors) {
    if (!/^blk\..*\.weight$/.test(name) || shape.length < 2) continue;
    const squares = Float64Array.from(
      { length: shape.at(-1)! },
      (_, i) => (1 + (i * 37 % 101)) * (i % 29 === 3 ? 500 : 1),
    );
    sums.set(name, { squares, count: 64 });
  }
  await writeImatrix(path, sums, {
    chunks: 1,
    chunkSize: 64,
    dataset: "made up",
  });
}

describe.skipIf(typeof started === "string")(
  "with an importance matrix, as llama.cpp",
  () => {
    test.each([["llama", 8], ["phi2", 0]])("%s", async (model, layers) => {
      const from = layers
        ? await llamaAs({ num_hidden_layers: layers })
        : `${fixtures}/${model}/hf`;
      const tokenizerDir = `${fixtures}/${model}/hf`;
      using folder = await openModel(from);
      const source = join(dir, "f32.gguf"), matrix = join(dir, "imatrix.gguf");
      await exportGguf({
        model: folder,
        quant: "f32",
        out: source,
        tokenizerDir,
      });
      await matrixFor(source, matrix);
      const quants: GgufQuant[] = [
        "q4_0",
        "q4_k_s",
        "q4_k_m",
        "q5_k_m",
        "q6_k",
      ];
      for (const quant of quants) {
        const [ours, theirs] = [
          join(dir, "ours.gguf"),
          join(dir, "theirs.gguf"),
        ];
        const importance = { ...readImatrix(matrix), file: "imatrix.gguf" };
        await exportGguf({
          model: folder,
          quant,
          out: ours,
          tokenizerDir,
          importance,
        });
        const type = String(ggufQuants[quant]);
        const run = [
          process.execPath,
          join(import.meta.dir, "quantize.ts"),
          source,
          theirs,
          type,
        ];
        const { exitCode } = Bun.spawnSync([...run, "1", matrix], {
          stderr: "ignore",
        });
        expect([quant, exitCode]).toEqual([quant, 0]);
        using a = openGguf(ours);
        using b = openGguf(theirs);
        expect([...a.tensors.keys()]).toEqual([...b.tensors.keys()]);
        for (const [name, { type }] of a.tensors) {
          expect([quant, name, type.name]).toEqual([
            quant,
            name,
            b.tensors.get(name)!.type.name,
          ]);
          const same = Buffer.compare(a.readBytes(name), b.readBytes(name)) === 0;
          expect([quant, name, same]).toEqual([quant, name, true]);
        }
        if (layers && quant === "q4_0") {
          expect(a.tensors.get("blk.0.ffn_down.weight")!.type.name).toBe(
            "q4_1",
          );
        }
      }
      if (layers) await rm(from, { recursive: true });
    });
  },
);
