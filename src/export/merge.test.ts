import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromF32 } from "../base/bits.ts";
import { openModel } from "../formats/model_folder.ts";
import { type Adapter, loraDefaults, readAdapter, scaling } from "../formats/peft.ts";
import { writeSafetensors } from "../formats/safetensors.ts";
import { exportGgufLora } from "./gguf_lora.ts";
import { exportMerged } from "./merge.ts";
import { mergeAdapter } from "./weights.ts";

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), "whet-"))));
afterAll(() => rm(dir, { recursive: true }));

const noise = (length: number, seed: number) =>
  Float32Array.from({ length }, (_, i) => Math.sin((i + 1) * (seed + 0.37)));

const [outs, width, rank] = [6, 10, 2];
const config = { ...loraDefaults, r: rank, lora_alpha: 3, target_modules: ["proj"] };
const adapter: Adapter = {
  config,
  tensors: new Map([
    ["proj.lora_A.weight", { shape: [rank, width], data: noise(rank * width, 1) }],
    ["proj.lora_B.weight", { shape: [outs, rank], data: noise(outs * rank, 2) }],
  ]),
};

async function model(name: string, dtype: "F32" | "F16" | "BF16", scale = 1): Promise<string> {
  const folder = join(dir, name);
  await mkdir(folder);
  const proj = noise(outs * width, 3).map((value) => value * scale);
  await writeSafetensors(join(folder, "model.safetensors"), [
    { name: "proj.weight", dtype, shape: [outs, width], data: fromF32(proj, dtype) },
    { name: "proj.bias", dtype, shape: [outs], data: fromF32(noise(outs, 4), dtype) },
    { name: "other.weight", dtype, shape: [4, 4], data: fromF32(noise(16, 5), dtype) },
  ]);
  await writeFile(join(folder, "config.json"), '{"model_type": "test"}');
  await writeFile(join(folder, "tokenizer.json"), "{}");
  return folder;
}

/** W + scaling · B · A in float64. */
function reference(w: Float32Array): number[] {
  const a = adapter.tensors.get("proj.lora_A.weight")!.data;
  const b = adapter.tensors.get("proj.lora_B.weight")!.data;
  return [...w].map((value, at) => {
    const [row, column] = [Math.floor(at / width), at % width];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += b[row * rank + k]! * a[k * width + column]!;
    return value + scaling(config, "proj") * sum;
  });
}

describe("merging", () => {
  for (const dtype of ["F32", "F16", "BF16"] as const) {
    test(`${dtype}: rounded once, the rest copied`, async () => {
      using base = await openModel(await model(`base-${dtype}`, dtype));
      const out = join(dir, `merged-${dtype}`);
      const seen: number[] = [];
      const result = await exportMerged({
        model: base,
        adapter,
        out,
        onProgress: ({ done, total }) => seen.push(done / total),
      });
      expect(result.files).toEqual(["model.safetensors", "tokenizer.json", "config.json"]);
      expect(seen.at(-1)).toBe(1);

      using merged = await openModel(out);
      const expected = Float32Array.from(reference(base.readF32("proj.weight")));
      expect(merged.readBytes("proj.weight")).toEqual(fromF32(expected, dtype));
      expect(merged.readBytes("proj.weight")).not.toEqual(base.readBytes("proj.weight"));
      for (const name of ["proj.bias", "other.weight"]) {
        expect(merged.readBytes(name)).toEqual(base.readBytes(name));
      }
      expect([...merged.tensors.keys()].sort()).toEqual([...base.tensors.keys()].sort());
    });
  }

  test("DoRA: each merged row is as long as its magnitude, asked for apart or not", async () => {
    using base = await openModel(await model("dora", "F32"));
    const data = Float32Array.from({ length: outs }, (_, n) => 0.5 + n);
    const tensors = new Map(adapter.tensors).set("proj.lora_magnitude_vector", {
      shape: [outs],
      data,
    });
    const dora = { config: { ...config, use_dora: true }, tensors };
    const [plain, merged] = [mergeAdapter(base, adapter), mergeAdapter(base, dora)];
    const [v, got] = [plain.readF32("proj.weight"), merged.readF32("proj.weight")];
    for (let n = 0; n < outs; n++) {
      const row = reference(base.readF32("proj.weight")).slice(n * width, (n + 1) * width);
      const length = Math.hypot(...row);
      row.forEach((value, k) => {
        const want = data[n]! * value / length;
        expect(Math.abs(got[n * width + k]! - want)).toBeLessThan(1e-6 * (1 + Math.abs(want)));
      });
    }
    expect(got).not.toEqual(v);
    expect(merged.readF32("proj.weight", 2, 4)).toEqual(got.slice(2 * width, 4 * width));
    const options = { model: base, adapter: dora, out: join(dir, "dora.gguf") };
    expect(exportGgufLora(options)).rejects.toThrow("a GGUF adapter cannot hold DoRA");
  });

  test("rows asked for apart are the rows of the whole", async () => {
    using base = await openModel(await model("rows", "F32"));
    const merged = mergeAdapter(base, adapter);
    const whole = merged.readF32("proj.weight");
    const parts = [merged.readF32("proj.weight", 0, 1), merged.readF32("proj.weight", 1, 6)];
    expect(parts.flatMap((part) => [...part])).toEqual([...whole]);
  });

  test("large models are cut into shards with an index", async () => {
    using base = await openModel(await model("sharded", "F32"));
    const out = join(dir, "shards");
    const { files } = await exportMerged({ model: base, adapter, out, shardBytes: 80 });
    expect(files.slice(0, 4)).toEqual([
      "model-00001-of-00003.safetensors",
      "model-00002-of-00003.safetensors",
      "model-00003-of-00003.safetensors",
      "model.safetensors.index.json",
    ]);
    const index = JSON.parse(readFileSync(join(out, files[3]!), "utf8"));
    expect(index.metadata.total_size).toBe(4 * (60 + 6 + 16));
    using merged = await openModel(out);
    expect(merged.readF32("proj.weight")).toEqual(
      mergeAdapter(base, adapter).readF32("proj.weight"),
    );
  });

  test("a value that leaves its type's range is refused, and no model is left", async () => {
    using base = await openModel(await model("large", "F16", 65504));
    const big: Adapter = {
      config: { ...config, lora_alpha: 1e6 },
      tensors: adapter.tensors,
    };
    const out = join(dir, "overflow");
    await expect(exportMerged({ model: base, adapter: big, out })).rejects.toThrow(
      "which f16 cannot hold",
    );
    expect(existsSync(join(out, "config.json"))).toBe(false);
    const left: string[] = existsSync(out) ? await readdir(out) : [];
    expect(left).toEqual([]);
  });

  test("a folder with files in it is left alone", async () => {
    const folder = await model("full", "F32");
    using base = await openModel(folder);
    await expect(exportMerged({ model: base, adapter, out: folder })).rejects.toThrow("already");
  });

  test("an adapter for another model is refused", async () => {
    using base = await openModel(await model("unfit", "F32"));
    const tensors = new Map(adapter.tensors);
    tensors.set("proj.lora_A.weight", { shape: [rank, 3], data: noise(6, 1) });
    expect(() => mergeAdapter(base, { config, tensors })).toThrow("[2, 3]");
  });
});

const fixtures = `${import.meta.dir}/../../../shared/fixtures/models`;
if (!existsSync(fixtures)) console.log(`skipped: model fixtures are not at ${fixtures}`);

test.skipIf(!existsSync(fixtures))(
  "a real adapter changes exactly the adapted matrices",
  async () => {
    using base = await openModel(`${fixtures}/llama/hf`);
    const lora = await readAdapter(`${fixtures}/llama/peft`);
    const out = join(dir, "llama");
    await exportMerged({ model: base, adapter: lora, out });
    using merged = await openModel(out);
    for (const name of base.tensors.keys()) {
      const same = Buffer.compare(merged.readBytes(name), base.readBytes(name)) === 0;
      expect([name, same]).toEqual([name, !/_proj\.weight$/.test(name)]);
    }
    expect(merged.config).toEqual(base.config);
  },
);
