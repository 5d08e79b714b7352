import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Exit } from "../base/fail.ts";
import { openModel } from "../formats/model_folder.ts";
import { readAdapter } from "../formats/peft.ts";
import { exportRun } from "./export.ts";
import { openGgufModel } from "./gguf_folder.ts";
import { type GgufQuant, ggufQuants } from "./gguf_mixtures.ts";
import { checkDrift } from "./verify.ts";

const fixtures = `${import.meta.dir}/../../../shared/fixtures/models/llama_tied`;
const present = existsSync(fixtures);
if (!present) console.log(`skipped: model fixtures are not at ${fixtures}`);
const [base, source] = [`${fixtures}/hf`, `${fixtures}/peft`];

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), "whet-"))));
afterAll(() => rm(dir, { recursive: true }));

describe.skipIf(!present)("a run is exported", () => {
  test("as GGUF with the adapter merged, verified, with a Modelfile", async () => {
    const out = join(dir, "gguf", "model.gguf");
    const seen: number[] = [];
    const report = await exportRun({
      source,
      base,
      out,
      form: "gguf",
      quant: "q8_0",
      verify: true,
      ollama: "mine",
      onProgress: ({ done, total }) => seen.push(done / total),
    });
    expect(report.files).toEqual(["model.gguf"]);
    expect(report.drift!.worst).toBeGreaterThan(1e-4);
    expect(report.drift!.worst).toBeLessThan(report.drift!.bound);
    const modelfile = readFileSync(report.modelfile!, "utf8");
    expect(modelfile).toStartWith('FROM ./model.gguf\nTEMPLATE """{{- range');
    expect(modelfile).toContain('PARAMETER stop "<|endoftext|>"\nPARAMETER num_ctx 2048\n');
    expect(seen.at(-1)).toBe(1);
  });

  test("a whole model as GGUF in every type, within its rounding", async () => {
    for (const quant of Object.keys(ggufQuants) as GgufQuant[]) {
      const out = join(dir, `${quant}.gguf`);
      const { drift } = await exportRun({ source: base, out, form: "gguf", quant, verify: true });
      expect([quant, drift!.worst > 0]).toEqual([quant, quant !== "f32"]);
    }
  });

  test("llama.cpp's own files of block types are the model they were made from", async () => {
    for (const name of ["llama", "llama_tied", "phi2"]) {
      const folder = join(fixtures, "..", name);
      using model = await openModel(join(folder, "hf"));
      for (const file of readdirSync(join(folder, "gguf"))) {
        if (!/^(Q|convert-q).*\.gguf$/.test(file)) continue;
        const { worst, bound, tensor } = checkDrift(join(folder, "gguf", file), model);
        expect([file, tensor, worst > 1e-3 && worst < bound / 2]).toEqual([file, tensor, true]);
      }
    }
  });

  test("as a merged folder, a PEFT folder, a GGUF adapter", async () => {
    const merged = join(dir, "merged");
    await exportRun({ source, base, out: merged, form: "merged" });
    using model = await openModel(merged);
    expect(existsSync(join(merged, "tokenizer.json"))).toBe(true);
    expect(model.tensors.size).toBe((await openModel(base)).tensors.size);

    const peft = join(dir, "peft");
    await exportRun({ source, base, out: peft, form: "adapter" });
    expect([...(await readAdapter(peft)).tensors]).toEqual([
      ...(await readAdapter(source)).tensors,
    ]);
    expect(existsSync(join(peft, "tokenizer.json"))).toBe(true);

    const lora = join(dir, "lora.gguf");
    const { warnings, bytes } = await exportRun({ source, base, out: lora, form: "gguf-lora" });
    expect([warnings, bytes]).toEqual([[], readFileSync(lora).length]);
  });

  test("a folder that recorded its base needs no --base; its own tokenizer comes first", async () => {
    const run = join(dir, "run");
    await mkdir(run);
    await copyFile(
      join(source, "adapter_model.safetensors"),
      join(run, "adapter_model.safetensors"),
    );
    const config = JSON.parse(readFileSync(join(source, "adapter_config.json"), "utf8"));
    const adapterConfig = JSON.stringify({ ...config, base_model_name_or_path: base });
    await Bun.write(join(run, "adapter_config.json"), adapterConfig);
    const tokenizerConfig = JSON.parse(readFileSync(join(base, "tokenizer_config.json"), "utf8"));
    const own = JSON.stringify({ ...tokenizerConfig, chat_template: "own" });
    await Bun.write(join(run, "tokenizer_config.json"), own);
    await copyFile(join(base, "tokenizer.json"), join(run, "tokenizer.json"));
    const out = join(dir, "run.gguf");
    await exportRun({ source: run, out, form: "gguf", quant: "f16" });
    using model = openGgufModel(out);
    expect(model.template!.source).toBe("own");
  });

  test("what does not fit together is refused", async () => {
    const out = join(dir, "none");
    const refusals = [
      [{ source, form: "gguf" }, "does not say what its base model is", Exit.usage],
      [{ source, base: join(dir, "no"), form: "gguf" }, "is not at", Exit.usage],
      [{ source: base, base, form: "gguf" }, "--base has no meaning", Exit.usage],
      [{ source: base, form: "merged" }, "is a whole model", Exit.usage],
      [{ source: base, form: "adapter" }, "is a whole model", Exit.usage],
      [{ source, base, form: "merged", verify: true }, "belong to --gguf", Exit.usage],
      [{ source: dir, form: "gguf" }, "there is no config.json", Exit.data],
    ] as const;
    for (const [options, message, exit] of refusals) {
      const attempt = exportRun({ ...options, out });
      await expect(attempt).rejects.toThrow(message);
      await expect(attempt).rejects.toMatchObject({ exit });
    }
    expect(existsSync(out)).toBe(false);
  });

  test("nothing is written over its source, nor a file over a folder or the reverse", async () => {
    const file = join(dir, "notes.txt");
    await Bun.write(file, "mine");
    for (
      const [out, form, text] of [
        [file, "merged", "is a file"],
        [file, "adapter", "is a file"],
        [dir, "gguf", "is a folder"],
        [dir, "gguf-lora", "is a folder"],
        [`${source}/`, "adapter", "is what is to be exported"],
      ] as const
    ) {
      await expect(exportRun({ source, base, out, form })).rejects.toMatchObject({
        exit: Exit.usage,
        message: expect.stringContaining(text),
      });
    }
    expect(readFileSync(file, "utf8")).toBe("mine");
  });

  test("in parts, verified; what is there is kept where it must be", async () => {
    const out = join(dir, "parts", "m.gguf");
    const options = { source: base, out, form: "gguf", quant: "q8_0", splitBytes: 4e5 } as const;
    const { path, files, drift } = await exportRun({ ...options, verify: true });
    expect(files.length).toBeGreaterThan(1);
    expect(files[0]).toBe(`m-00001-of-0000${files.length}.gguf`);
    expect(path).toBe(join(dir, "parts", files[0]!));
    expect(drift!.worst).toBeGreaterThan(0);
    const again = exportRun({ ...options, keep: true });
    await expect(again).rejects.toThrow(`${files[0]} is there already`);
    await exportRun(options);

    const single = { source: base, out: join(dir, "kept.gguf"), form: "gguf", keep: true } as const;
    await exportRun(single);
    await expect(exportRun(single)).rejects.toThrow("kept.gguf is there already");
    const merged = { source, base, out: join(dir, "kept"), form: "merged", keep: true } as const;
    await exportRun(merged);
    await expect(exportRun(merged)).rejects.toThrow("kept is there already");
    const both = exportRun({ ...options, ollama: "x" });
    await expect(both).rejects.toMatchObject({ exit: Exit.usage });
  });

  test("a changed byte of the file is found when it is read back", async () => {
    const out = join(dir, "flipped.gguf");
    using model = await openModel(base);
    await exportRun({ source: base, out, form: "gguf", quant: "f32", verify: true });
    const file = await open(out, "r+");
    const { size } = await file.stat();
    await file.write(Uint8Array.of(0x42), 0, 1, size - 5);
    await file.close();
    expect(() => checkDrift(out, model)).toThrow("model.norm.weight differs");
  });
});
