import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { modelOf, openCheckpoint, specOf } from "../architectures/model.ts";
import { type GgufFile, openGguf } from "../formats/gguf.ts";
import { openModel } from "../formats/model_folder.ts";
import { readAdapter } from "../formats/peft.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { openGgufModel } from "./gguf_folder.ts";
import { tinyModel } from "../../tests/tiny.ts";
import { exportGgufLora } from "./gguf_lora.ts";
import type { GgufQuant } from "./gguf_mixtures.ts";
import { exportGguf } from "./gguf_model.ts";
import { checkDrift } from "./verify.ts";
import { mergeAdapter } from "./weights.ts";

const fixtures = `${import.meta.dir}/../../../shared/fixtures/models`;
const present = existsSync(fixtures);
if (!present) console.log(`skipped: model fixtures are not at ${fixtures}`);

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), "whet-"))));
afterAll(() => rm(dir, { recursive: true }));

/** Every tensor and metadata value of two files is the same; the order may differ. */
function expectSame(ours: GgufFile, theirs: GgufFile, without: RegExp = /^$/): void {
  const values = (file: GgufFile) =>
    Object.fromEntries([...file.metadata].filter(([key]) => !without.test(key)).sort());
  expect(values(ours)).toEqual(values(theirs));
  expect([...ours.tensors.keys()].sort()).toEqual([...theirs.tensors.keys()].sort());
  for (const [name, { type, shape }] of theirs.tensors) {
    expect([name, ours.tensors.get(name)!.type.name]).toEqual([name, type.name]);
    expect([name, ...ours.tensors.get(name)!.shape]).toEqual([name, ...shape]);
    const same = Buffer.compare(ours.readBytes(name), theirs.readBytes(name)) === 0;
    if (!same) throw new Error(`${name} differs`);
  }
}

async function exported(model: string, quant: GgufQuant) {
  using folder = await openModel(`${fixtures}/${model}/hf`);
  const out = join(dir, `${model}-${quant}.gguf`);
  return await exportGguf({ model: folder, quant, out, name: "Hf" });
}

describe.skipIf(!present)("equals llama.cpp's converter", () => {
  const converted: [string, GgufQuant][] = [
    ["llama", "f32"],
    ["llama", "q8_0"],
    ["llama_tied", "q8_0"],
    ["phi2", "q8_0"],
    ["qwen2", "q8_0"],
    ["qwen3", "q8_0"],
  ];
  for (const [model, quant] of converted) {
    test(`${model} ${quant}: every key and every byte`, async () => {
      const { path, warnings } = await exported(model, quant);
      using file = openGguf(path);
      using theirs = openGguf(`${fixtures}/${model}/gguf/convert-${quant}.gguf`);
      expectSame(file, theirs);
      expect([...file.metadata.keys()]).toEqual([...theirs.metadata.keys()]);
      expect(warnings.some((warning) => warning.includes("gpt-2"))).toBe(true);
      expect(warnings.some((warning) => warning.includes("are f16"))).toBe(model === "llama_tied");
    });
  }

  const whole: [string, GgufQuant][] = [
    ["llama", "f32"],
    ["llama", "f16"],
    ["llama", "q8_0"],
    ["llama_tied", "f32"],
    ["llama_tied", "f16"],
    ["phi2", "f32"],
    ["phi2", "f16"],
    ["phi2", "q8_0"],
    ...["qwen2", "qwen3"].flatMap((model) =>
      ["f32", "f16", "q8_0"].map((quant): [string, GgufQuant] => [model, quant as GgufQuant])
    ),
  ];
  for (const [model, quant] of whole) {
    test(`${model} ${quant}: the SHA-256 of the whole file`, async () => {
      const { path, sha256, bytes } = await exported(model, quant);
      const sums = readFileSync(`${fixtures}/${model}/gguf/SHA256SUMS`, "utf8");
      const line = sums.split("\n").find((line) => line.endsWith(`  convert-${quant}.gguf`))!;
      const content = readFileSync(path);
      expect(bytes).toBe(content.length);
      expect(sha256).toBe(createHash("sha256").update(content).digest("hex"));
      expect(sha256).toBe(line.split(" ")[0]!);
    });
  }

  const kept: [string, GgufQuant][] = [
    ["llama", "q8_0"],
    ["llama", "q4_0"],
    ["llama", "q4_k_s"],
    ["llama", "q4_k_m"],
    ["llama", "q5_k_m"],
    ["llama", "q6_k"],
    ["llama_tied", "q4_k_m"],
    ["phi2", "q8_0"],
    ["phi2", "q4_0"],
    ["phi2", "q4_k_s"],
    ["phi2", "q4_k_m"],
    ["phi2", "q5_k_m"],
    ["phi2", "q6_k"],
    ["qwen2", "q4_k_m"],
    ["qwen3", "q4_k_m"],
  ];
  for (const [model, quant] of kept) {
    test(`${model} ${quant}: every key and every byte of llama-quantize`, async () => {
      using ours = openGguf((await exported(model, quant)).path);
      using theirs = openGguf(`${fixtures}/${model}/gguf/${quant.toUpperCase()}.gguf`);
      expectSame(ours, theirs);
    });
  }

  for (const model of ["llama", "llama_tied", "phi2", "qwen2", "qwen3"]) {
    for (const quant of ["q4_0", "q4_k_s", "q4_k_m", "q5_k_m", "q6_k"] as const) {
      const sums = present ? readFileSync(`${fixtures}/${model}/gguf/SHA256SUMS`, "utf8") : "";
      const line = sums.split("\n").find((line) => line.endsWith(`  ${quant.toUpperCase()}.gguf`));
      // llama-quantize refuses q4_0 where rows are not whole blocks.
      test.skipIf(line === undefined)(`${model} ${quant}: the SHA-256 of the file`, async () => {
        expect((await exported(model, quant)).sha256).toBe(line!.split(" ")[0]!);
      });
    }
  }

  for (const quant of ["q8_0", "q4_k_m"] as const) {
    test(`bert ${quant}: every byte, and every key but ids of tokens`, async () => {
      using folder = await openCheckpoint(`${fixtures}/bert/hf`);
      const out = join(dir, `bert-${quant}.gguf`);
      // The tiny vocabulary is no vocabulary that a hash knows.
      const pretokenizer = "gpt-2";
      await exportGguf({ model: folder, quant, out, name: "Hf", pooling: "mean", pretokenizer });
      const named = quant === "q8_0" ? "convert-q8_0" : "Q4_K_M";
      using ours = openGguf(out);
      using theirs = openGguf(`${fixtures}/bert/gguf/${named}.gguf`);
      expectSame(ours, theirs, /_token_id$/);
      checkDrift(out, folder);
      using back = openGgufModel(out);
      const eps = Math.fround(folder.config.layer_norm_eps as number); // as f32
      const stated = { ...folder.config, layer_norm_eps: eps };
      expect(specOf(back.config).config).toEqual(specOf(stated).config);
      expect(back.tokenizer.encode("The quick")).toEqual(
        (await loadTokenizer(`${fixtures}/bert/hf`)).encode("The quick"),
      );
    });
  }

  // Their tokenizer is not byte-level: with another one all but the tokenizer's keys must be equal.
  for (const model of ["gemma2", "gemma3"]) {
    for (const quant of ["q8_0", "q4_k_m"] as const) {
      test(`${model} ${quant}: every byte, and every key that is not the tokenizer's`, async () => {
        using folder = await openModel(`${fixtures}/${model}/hf`);
        const out = join(dir, `${model}-${quant}.gguf`);
        const tokenizerDir = `${fixtures}/qwen2/hf`;
        await exportGguf({ model: folder, quant, out, name: "Hf", tokenizerDir });
        const named = quant === "q8_0" ? "convert-q8_0" : "Q4_K_M";
        using ours = openGguf(out);
        using theirs = openGguf(`${fixtures}/${model}/gguf/${named}.gguf`);
        expectSame(ours, theirs, /^tokenizer\./);
        const keys = (file: GgufFile) =>
          [...file.metadata.keys()].filter((key) => !key.startsWith("tokenizer."));
        expect(keys(ours)).toEqual(keys(theirs));
        checkDrift(out, folder);
        using back = openGgufModel(out);
        const eps = Math.fround(folder.config.rms_norm_eps as number); // as f32
        const stated = { ...folder.config, rms_norm_eps: eps };
        expect(specOf(back.config).config).toEqual(specOf(stated).config);
      });
    }
  }

  for (const model of ["llama", "phi2", "qwen2", "qwen3", "gemma2", "gemma3", "bert"]) {
    test(`${model}: the LoRA adapter`, async () => {
      using folder = await openCheckpoint(`${fixtures}/${model}/hf`);
      const adapter = await readAdapter(`${fixtures}/${model}/peft`);
      const out = join(dir, `${model}-lora.gguf`);
      await exportGgufLora({ model: folder, adapter, out, name: "Peft" });
      using ours = openGguf(out);
      using theirs = openGguf(`${fixtures}/${model}/gguf/convert-adapter-f32.gguf`);
      // These come from a model card.
      expectSame(ours, theirs, /^general\.(tags|base_model\.count)$/);
    });
  }
});

test("GPT-2: matrices lie [out, in], and what is read back is the same model", async () => {
  using folder = await openCheckpoint(join(import.meta.dir, "../../tests/fixtures/gpt2/hf"));
  const out = join(dir, "gpt2.gguf");
  await exportGguf({ model: folder, quant: "f32", out });
  checkDrift(out, folder);
  using file = openGguf(out);
  expect(file.tensors.get("blk.1.attn_qkv.weight")!.shape).toEqual([192, 64]);
  using back = openGgufModel(out);
  const { eps, ...rest } = specOf(folder.config).config as { eps: number };
  expect(specOf(back.config).config).toEqual({ ...rest, eps: Math.fround(eps) });
  expect(modelOf(back).folder.readF32("transformer.h.0.mlp.c_fc.weight", 3, 5))
    .toEqual(folder.readF32("transformer.h.0.mlp.c_fc.weight", 3, 5));
});

test("RoBERTa's positions before its padding id's are left out", async () => {
  const from = await tinyModel("bert"), tokenizer = join(import.meta.dir, "../../models/micro");
  const config = JSON.parse(readFileSync(join(from, "config.json"), "utf8"));
  const roberta = { ...config, architectures: ["RobertaModel"], model_type: "roberta" };
  writeFileSync(join(from, "config.json"), JSON.stringify({ ...roberta, pad_token_id: 1 }));
  using folder = await openCheckpoint(from);
  const out = join(dir, "roberta.gguf");
  await exportGguf({ model: folder, quant: "f32", out, tokenizerDir: tokenizer });
  checkDrift(out, folder);
  using back = openGgufModel(out);
  const name = "embeddings.position_embeddings.weight";
  expect(back.readF32(name)).toEqual(folder.readF32(name, 2));
  expect(specOf(back.config).sizes.context).toBe(specOf(folder.config).sizes.context);
  await rm(from, { recursive: true });
});

describe.skipIf(!present)("when it cannot be done", () => {
  const files = async () => (await readdir(dir)).filter((name) => name.startsWith("no"));

  test("an unfit tokenizer, a missing tensor, a value too large: no file is left", async () => {
    using folder = await openModel(`${fixtures}/llama/hf`);
    const out = join(dir, "no.gguf");
    const quant = "q8_0";
    const tokenizers = `${fixtures}/../tokenizers`;
    await expect(exportGguf({ model: folder, quant, out, tokenizerDir: `${tokenizers}/gpt2` }))
      .rejects.toThrow("the tokenizer has ids up to 50256, the model 512 rows");
    const tensors = new Map(folder.tensors);
    tensors.delete("model.layers.1.mlp.up_proj.weight");
    await expect(exportGguf({ model: { ...folder, tensors }, quant, out })).rejects.toThrow(
      "no tensor model.layers.1.mlp.up_proj.weight",
    );
    const readF32 = () => new Float32Array(512 * 768).fill(NaN);
    await expect(exportGguf({ model: { ...folder, readF32 }, quant, out })).rejects.toThrow("NaN");
    await expect(exportGguf({ model: folder, quant, out, pretokenizer: "x" })).rejects.toThrow(
      "not a GGUF pre-tokenizer",
    );
    expect(await files()).toEqual([]);
  });
});

test.skipIf(!present)("an adapter is merged into what is written", async () => {
  using folder = await openModel(`${fixtures}/llama/hf`);
  const adapter = await readAdapter(`${fixtures}/llama/peft`);
  const out = join(dir, "merged.gguf");
  const seen: number[] = [];
  const { tensors } = await exportGguf({
    model: folder,
    adapter,
    quant: "f32",
    out,
    onProgress: ({ done, total }) => seen.push(done / total),
  });
  using file = openGguf(out);
  expect([tensors, seen.at(-1)]).toEqual([file.tensors.size, 1]);
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  const merged = mergeAdapter(folder, adapter).readF32("model.layers.1.mlp.up_proj.weight");
  expect(file.readF32("blk.1.ffn_up.weight")).toEqual(merged);
  expect(file.readF32("output.weight")).toEqual(folder.readF32("lm_head.weight"));
});
