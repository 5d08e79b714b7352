import { afterAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testDevice } from "../../kernels/check.ts";
import { loadWeights, type Model, netOf, openModel, type Quant } from "../architectures/model.ts";
import { manifest, specOf } from "../architectures/model.ts";
import { fromF32 } from "../base/bits.ts";
import { disk } from "../base/disk.ts";
import { Exit, Fail } from "../base/fail.ts";
import { normalFill } from "../base/random.ts";
import { openSafetensors, writeSafetensors } from "../formats/safetensors.ts";
import { Graph } from "../graph/graph.ts";
import { Memory } from "../graph/memory.ts";
import { count } from "../graph/tensor.ts";
import { quantizeModel } from "./quantize_model.ts";

const device = await testDevice();
const micro = join(import.meta.dir, "../../models/micro");
const vectors = join(import.meta.dir, "../../../shared/fixtures/nf4");
const folder = mkdtempSync(join(tmpdir(), "quantize-"));
afterAll(() => rmSync(folder, { recursive: true }));
let made = 0;
const next = () => join(folder, `m${made++}`);

const kinds: readonly [string, Quant][] = [
  ["nf4", { type: "nf4", double: false }],
  ["nf4, scales in 8 bits", { type: "nf4", double: true }],
  ["int8", { type: "int8" }],
];

/** A small model with random weights of a type, its linear layers not all in whole blocks of 64. */
async function small(
  dtype: "F32" | "BF16" | "F16",
  more: Record<string, unknown> = {},
  weight = (_: string): Float32Array | undefined => undefined,
): Promise<string> {
  const dir = next(),
    config = {
      model_type: "llama",
      vocab_size: 24,
      hidden_size: 36,
      intermediate_size: 50,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      ...more,
    };
  mkdirSync(dir);
  await writeSafetensors(
    join(dir, "model.safetensors"),
    manifest(specOf(config)).map(({ name, shape }, i) => ({
      name,
      dtype,
      shape,
      data: fromF32(weight(name) ?? normalFill(5, i, count(shape), 0.02), dtype),
    })),
  );
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
  return dir;
}

/** What the frozen weights of a model are on the device. */
async function onDevice(model: Model): Promise<Map<string, Uint8Array>> {
  const g = new Graph(), net = netOf(model, g, { positions: 1 }), memory = new Memory(device!);
  for (const { name, shape } of manifest(model)) net.weight(name, shape);
  const tensors = g.all("frozen");
  await loadWeights(model, memory, tensors);
  const found = new Map<string, Uint8Array>();
  for (const t of tensors) {
    const { buffer, offset, size } = memory.place(t);
    found.set(`${t.name} ${t.dtype}`, (await device!.read(buffer, offset, size)).slice());
  }
  memory.free();
  model.folder.close();
  return found;
}

for (const [what, quant] of kinds) {
  const sources: readonly [string, () => Promise<string>][] = [
    ["the built-in model", () => Promise.resolve(micro)],
    ["a model in bf16 whose blocks are not whole", () => small("BF16")],
    ["a model in f32", () => small("F32")],
  ];
  for (const [name, source] of sources) {
    test.skipIf(!device)(`${name} in ${what}: the copy loads to the same bytes`, async () => {
      const model = await source(), out = next(), told: [number, number][] = [];
      const report = await quantizeModel({
        model,
        out,
        quant,
        onProgress: (...it) => told.push(it),
      });
      const want = await onDevice({ ...await openModel(model), quant });
      const copy = await openModel(out);
      expect(new Set(copy.folder.quantised!.values())).toEqual(new Set([quant.type]));
      expect(report.quantised).toBe(copy.folder.quantised!.size);
      const got = await onDevice(copy);
      expect([...got.keys()].sort()).toEqual([...want.keys()].sort());
      for (const [key, bytes] of want) {
        expect([key, Buffer.compare(bytes, got.get(key)!)]).toEqual([key, 0]);
      }
      expect(told.at(-1)).toEqual([report.before, report.before]);
      const config = JSON.parse(readFileSync(join(out, "config.json"), "utf8"));
      expect(config.quantization_config).toMatchObject({
        quant_method: "bitsandbytes",
        load_in_4bit: quant.type === "nf4",
        load_in_8bit: quant.type === "int8",
      });
    });
  }
}

for (const kind of ["plain", "nested"] as const) {
  test.skipIf(!existsSync(vectors))(`${kind}: what bitsandbytes saved, byte for byte`, async () => {
    const bytes = readFileSync(join(vectors, "w_f32_384x512.bin"));
    const w = new Float32Array(new Uint8Array(bytes).buffer);
    const sizes = { hidden_size: 512, intermediate_size: 384, num_attention_heads: 8 };
    const name = "model.layers.0.mlp.up_proj.weight", out = next();
    const model = await small("F32", sizes, (one) => one === name ? w : undefined);
    await quantizeModel({ model, out, quant: { type: "nf4", double: kind === "nested" } });
    using ours = openSafetensors(join(out, "model.safetensors"));
    using theirs = openSafetensors(join(vectors, `${kind}.safetensors`));
    const parts = [...ours.tensors.keys()].filter((part) => part.startsWith(name));
    expect(parts.map((part) => part.replace(name, "weight")).sort())
      .toEqual([...theirs.tensors.keys()].sort());
    for (const part of parts) {
      const original = part.replace(name, "weight"),
        { dtype, shape } = theirs.tensors.get(original)!;
      expect(ours.tensors.get(part)).toMatchObject({ dtype, shape });
      const same = Buffer.compare(ours.readBytes(part), theirs.readBytes(original)) === 0;
      expect([part, same]).toEqual([part, true]);
    }
  });
}

test("shards hold what one file holds, and everything beside the weights comes along", async () => {
  const [one, many] = [next(), next()], quant: Quant = { type: "nf4", double: true };
  await quantizeModel({ model: micro, out: one, quant });
  mkdirSync(many); // an empty folder is as good as none
  const { files, bytes } = await quantizeModel({ model: micro, out: many, quant, shardBytes: 2e5 });
  expect(files.filter((name) => name.startsWith("model-")).length).toBeGreaterThan(3);
  expect(readdirSync(many).sort()).toEqual([...files].sort());
  const index = JSON.parse(readFileSync(join(many, "model.safetensors.index.json"), "utf8"));
  expect(index.metadata.total_size).toBe(bytes);
  using whole = openSafetensors(join(one, "model.safetensors"));
  expect(Object.keys(index.weight_map).sort()).toEqual([...whole.tensors.keys()].sort());
  for (const [name, file] of Object.entries<string>(index.weight_map)) {
    using shard = openSafetensors(join(many, file));
    expect(Buffer.compare(shard.readBytes(name), whole.readBytes(name))).toBe(0);
  }
  for (const name of readdirSync(micro).filter((name) => /token|generation/.test(name))) {
    expect(readFileSync(join(many, name))).toEqual(readFileSync(join(micro, name)));
  }
});

describe("what cannot be", () => {
  const quant: Quant = { type: "nf4", double: true };
  const refused = async (model: string, out: string, quant: Quant): Promise<Fail> => {
    try {
      await quantizeModel({ model, out, quant });
    } catch (error) {
      expect(error).toBeInstanceOf(Fail);
      return error as Fail;
    }
    throw new Error("it was not refused");
  };
  const clean = (out: string) => {
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(folder).filter((name) => name.startsWith("."))).toEqual([]);
  };

  test("a folder with something in it, or a file", async () => {
    const out = next();
    cpSync(micro, out, { recursive: true });
    expect(await refused(micro, out, quant)).toMatchObject({ exit: Exit.usage });
    expect(await refused(micro, join(micro, "config.json"), quant)).toMatchObject({
      exit: Exit.usage,
    });
    expect(readdirSync(out).sort()).toEqual(readdirSync(micro).sort());
  });

  test("a model that is quantised", async () => {
    const once = next(), twice = next();
    await quantizeModel({ model: micro, out: once, quant });
    const { message, exit } = await refused(once, twice, { type: "int8" });
    expect([message, exit]).toEqual([`${once} is quantised already`, Exit.data]);
    clean(twice);
  });

  test("a weight that is not finite, by name, with nothing left behind", async () => {
    const name = "model.layers.0.mlp.down_proj.weight", out = next();
    for (const v of [NaN, Infinity]) {
      const model = await small(
        "BF16",
        {},
        (one) => one === name ? new Float32Array(36 * 50).fill(v, 1700, 1701) : undefined,
      );
      for (const [type, quant] of kinds) {
        const { message, exit } = await refused(model, out, quant);
        expect(message).toBe(`${name} holds ${v}, which has no place in ${
          type.split(",")[0] ===
              "int8"
            ? "int8"
            : "NF4"
        }`);
        expect(exit).toBe(Exit.data);
        clean(out);
      }
    }
  });

  test("a disk that fills up at any write, rename or sync", async () => {
    const model = await small("BF16"), real = { ...disk };
    const full = Object.assign(new Error("full"), { code: "ENOSPC" });
    for (const call of ["write", "open", "fsync", "rename", "mkdir"] as const) {
      let fails = 0;
      for (let nth = 1;; nth++) {
        const out = next();
        let left = nth;
        Object.assign(disk, {
          [call]: (...args: unknown[]) =>
            --left === 0
              ? Promise.reject(full)
              : (real[call] as (...args: unknown[]) => unknown)(...args),
        });
        try {
          await quantizeModel({ model, out, quant });
        } catch (error) {
          expect(error).toMatchObject({ exit: Exit.disk });
          fails++;
          // The last sync is that of the folder around it, which is whole by then.
          if (existsSync(out)) (await openModel(out)).folder.close();
          expect(readdirSync(folder).filter((name) => name.startsWith("."))).toEqual([]);
        } finally {
          Object.assign(disk, real);
        }
        if (left > 0) break;
      }
      expect(fails).toBeGreaterThan(0);
    }
  });

  test("a disk without room, before anything is written", async () => {
    const free = disk.free, out = next();
    try {
      disk.free = () => 1e5;
      expect(await refused(micro, out, quant)).toMatchObject({ exit: Exit.disk });
    } finally {
      disk.free = free;
    }
    clean(out);
  });
});
