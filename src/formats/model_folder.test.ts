import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import { isPlainName } from "./model_files.ts";
import { type ModelFolder, openModel } from "./model_folder.ts";
import { parseNpy, readNpy } from "./npy.ts";
import { openSafetensors, safetensorsChunks, writeSafetensors } from "./safetensors.ts";

let dir: string;
const opened: ModelFolder[] = [];
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "model-"));
});
afterEach(() => {
  for (const model of opened.splice(0)) model.close();
  fs.rmSync(dir, { recursive: true, force: true });
});

async function open(path = dir): Promise<ModelFolder> {
  const model = await openModel(path);
  opened.push(model);
  return model;
}

async function refusal(path = dir): Promise<string> {
  const error = await open(path).then(() => undefined, (e: unknown) => e);
  expect(error).toBeInstanceOf(Fail);
  const fail = error as Fail;
  expect(fail.exit).toBe(Exit.data);
  expect(fail.fix).toBeTruthy();
  return fail.message;
}

const weights = (value: number, n = 4) =>
  new Uint8Array(Float32Array.from({ length: n }, () => value).buffer);
const source = (name: string, value = 1, n = 4) =>
  ({ name, dtype: "F32", shape: [n / 2, 2], data: weights(value, n) }) as const;

async function writeModel(at = dir): Promise<void> {
  fs.mkdirSync(at, { recursive: true });
  fs.writeFileSync(join(at, "config.json"), '{"model_type":"llama"}');
  await writeSafetensors(join(at, "model.safetensors"), [source("model.norm.weight", 2)]);
}

async function writeShards(map: Record<string, unknown>): Promise<void> {
  fs.writeFileSync(join(dir, "config.json"), "{}");
  await writeSafetensors(join(dir, "a.safetensors"), [source("x", 1)]);
  await writeSafetensors(join(dir, "b.safetensors"), [source("y", 2), source("z", 3)]);
  fs.writeFileSync(join(dir, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
}

describe("openModel", () => {
  test("one file", async () => {
    await writeModel();
    fs.writeFileSync(join(dir, "generation_config.json"), '{"eos_token_id":[1,2]}');
    const model = await open();
    expect(model.config.model_type).toBe("llama");
    expect(model.generationConfig?.eos_token_id).toEqual([1, 2]);
    expect([...model.tensors]).toEqual([
      ["model.norm.weight", { dtype: "F32", shape: [2, 2], bytes: 16 }],
    ]);
    expect(model.readF32("model.norm.weight", 1, 2)).toEqual(Float32Array.of(2, 2));
    expect(model.readBytes("model.norm.weight", 0, 4)).toEqual(weights(2, 1));
    expect(() => model.readF32("none")).toThrow("there is no tensor none");
  });

  test("shards", async () => {
    await writeShards({ x: "a.safetensors", y: "b.safetensors", z: "b.safetensors" });
    const model = await open();
    expect([...model.tensors.keys()]).toEqual(["x", "y", "z"]);
    expect(["x", "y", "z"].map((name) => model.readF32(name)[0])).toEqual([1, 2, 3]);
  });

  test("model.safetensors goes before an index, as in transformers", async () => {
    await writeShards({ x: "../../etc/passwd" });
    await writeSafetensors(join(dir, "model.safetensors"), [source("one")]);
    expect([...(await open()).tensors.keys()]).toEqual(["one"]);
  });

  test("names are found with or without the prefix of the body", async () => {
    await writeModel();
    const model = await open();
    expect(model.resolve("model.norm.weight")).toBe("model.norm.weight");
    expect(model.resolve("norm.weight")).toBe("model.norm.weight");
    expect(model.resolve("lm_head.weight")).toBeUndefined();
    await writeSafetensors(join(dir, "model.safetensors"), [source("norm.weight")]);
    expect((await open()).resolve("model.norm.weight")).toBe("norm.weight");
  });

  test("identity: the same for a copy, different for other config, shapes or weights", async () => {
    await writeModel();
    await writeModel(join(dir, "copy"));
    const first = (await open()).hash();
    expect((await open(join(dir, "copy"))).hash()).toBe(first);
    await writeSafetensors(join(dir, "model.safetensors"), [source("model.norm.weight", 2.001)]);
    const weightsDiffer = (await open()).hash();
    await writeSafetensors(join(dir, "model.safetensors"), [source("model.norm.weight", 2, 8)]);
    const shapeDiffers = (await open()).hash();
    await writeModel();
    fs.writeFileSync(join(dir, "config.json"), '{"model_type":"llama" }');
    const configDiffers = (await open()).hash();
    expect(new Set([first, weightsDiffer, shapeDiffers, configDiffers]).size).toBe(4);
  });

  test("says what is missing", async () => {
    expect(await refusal(join(dir, "none"))).toContain("there is no such folder");
    fs.writeFileSync(join(dir, "file"), "");
    expect(await refusal(join(dir, "file"))).toContain("a file, not a folder");
    expect(await refusal()).toContain("there is no config.json");
    fs.writeFileSync(join(dir, "adapter_config.json"), "{}");
    expect(await refusal()).toContain("an adapter, not a model");
    fs.writeFileSync(join(dir, "config.json"), "{}");
    expect(await refusal()).toContain("no model.safetensors and no model.safetensors.index.json");
    fs.writeFileSync(join(dir, "x.gguf"), "");
    expect(await refusal()).toContain("found x.gguf");
    fs.writeFileSync(join(dir, "pytorch_model.bin"), "");
    expect(await refusal()).toContain("pickled");
  });

  test("broken JSON is shown by line and column", async () => {
    await writeModel();
    for (
      const [text, where] of [
        ['{\n  "a": 1,\n  "é": ,\n}', "line 3, column 8: expected a value"],
        ['{\n"a":1,\n"a":2}', "line 3, column 1: duplicate key"],
        ["[]", "expected a JSON object"],
        ["", "line 1, column 1: expected a value, found the end"],
      ] as const
    ) {
      fs.writeFileSync(join(dir, "config.json"), text);
      expect(await refusal()).toContain(where);
    }
    fs.writeFileSync(join(dir, "config.json"), "{}");
    fs.truncateSync(join(dir, "config.json"), 17 * 2 ** 20);
    expect(await refusal()).toContain("at most");
  });

  test("index and shards must agree", async () => {
    const right = { x: "a.safetensors", y: "b.safetensors", z: "b.safetensors" };
    for (
      const [map, message] of [
        [{ ...right, w: "b.safetensors" }, "w is said to be in b.safetensors, but is not"],
        [{ ...right, y: "a.safetensors" }, "y is said to be in a.safetensors, but is not"],
        [{ ...right, w: "c.safetensors" }, "1 of 3 shards are missing: c.safetensors"],
        [{}, "weight_map is empty"],
        [[], "weight_map is not an object"],
      ] as const
    ) {
      await writeShards(map as Record<string, unknown>);
      expect(await refusal()).toContain(message);
    }
    await writeShards({ x: "a.safetensors", y: "b.safetensors", z: "b.safetensors" });
    await writeSafetensors(join(dir, "a.safetensors"), [source("x"), source("z")]);
    expect(await refusal()).toContain("z is in two shards");
  });

  test("shard names that are no plain file names are refused", async () => {
    const names = [
      "",
      ".",
      "..",
      "../a.safetensors",
      "a/../../b.safetensors",
      "/etc/passwd",
      "/a.safetensors",
      "sub/a.safetensors",
      "sub\\a.safetensors",
      "..\\a.safetensors",
      "C:a.safetensors",
      "C:\\a.safetensors",
      "\\\\host\\share\\a.safetensors",
      "//host/a.safetensors",
      "a.safetensors\0",
      "a\0.safetensors",
      "%2e%2e%2fa.safetensors",
      "~/a.safetensors",
      "$HOME.safetensors",
      ".hidden.safetensors",
      "a.safetensors ",
      " a.safetensors",
      "a.safetensors.",
      "a.safetensors:stream",
      "a\n.safetensors",
      "é.safetensors",
      "．．.safetensors",
      "a*.safetensors",
      "a?.safetensors",
      "|a.safetensors",
      "a;b.safetensors",
      "-a.safetensors",
      "file:a.safetensors",
      "http://h/a.safetensors",
      "/proc/self/environ",
      "/dev/zero",
      "a.bin",
      "a.pt",
      "safetensors",
      "n".repeat(300) + ".safetensors",
      5,
      null,
      ["a.safetensors"],
      { a: 1 },
      true,
    ];
    for (const name of names) {
      await writeShards({ x: name });
      const message = await refusal();
      expect([name, message.includes("is said to be in")]).toEqual([name, true]);
    }
    expect(isPlainName("model-00001-of-00002.safetensors")).toBe(true);
  });

  test.skipIf(process.platform === "win32")("links stay inside, or lead to the cache", async () => {
    await writeModel(join(dir, "other"));
    await writeModel(join(dir, "model"));
    const model = join(dir, "model");
    const file = join(model, "model.safetensors");
    fs.rmSync(file);
    fs.symlinkSync("../other/model.safetensors", file);
    expect(await refusal(model)).toContain("a link out of the folder");
    fs.rmSync(file);
    fs.renameSync(join(dir, "other", "model.safetensors"), join(model, "real.safetensors"));
    fs.symlinkSync("real.safetensors", file);
    await open(model);
    fs.symlinkSync(model, join(dir, "linked"));
    await open(join(dir, "linked"));
    fs.rmSync(join(model, "real.safetensors"));
    expect(await refusal(model)).toContain("leads nowhere");
    for (const target of ["/dev/zero", "/proc/self/environ", "/etc/hostname"]) {
      fs.rmSync(join(model, "config.json"), { force: true });
      fs.symlinkSync(target, join(model, "config.json"));
      expect(await refusal(model)).toContain("a link out of the folder");
    }
    fs.rmSync(join(model, "config.json"));
    Bun.spawnSync(["mkfifo", join(model, "config.json")]);
    expect(await refusal(model)).toContain("not a regular file");
    fs.rmSync(join(model, "config.json"));
    fs.mkdirSync(join(model, "config.json"));
    expect(await refusal(model)).toContain("not a regular file");
  });

  test.skipIf(process.platform === "win32")("the layout of the Hugging Face cache", async () => {
    const repo = join(dir, "models--org--name");
    const snapshot = join(repo, "snapshots", "abc123");
    await writeModel(join(dir, "made"));
    fs.mkdirSync(snapshot, { recursive: true });
    fs.mkdirSync(join(repo, "blobs"));
    for (const [i, name] of ["config.json", "model.safetensors"].entries()) {
      fs.renameSync(join(dir, "made", name), join(repo, "blobs", `${i}`));
      fs.symlinkSync(`../../blobs/${i}`, join(snapshot, name));
    }
    expect((await open(snapshot)).tensors.size).toBe(1);
    fs.rmSync(join(snapshot, "config.json"));
    fs.symlinkSync("../../../made/config.json", join(snapshot, "config.json"));
    await writeModel(join(dir, "made"));
    expect(await refusal(snapshot)).toContain("a link out of the folder");
  });
});

describe("npy", () => {
  function npy(header: string, data: ArrayBufferView, version = 1): Uint8Array {
    const text = new TextEncoder().encode(header);
    const length = version === 1
      ? [text.length & 255, text.length >> 8]
      : [text.length & 255, text.length >> 8, 0, 0];
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return new Uint8Array([
      0x93,
      ...Buffer.from("NUMPY"),
      version,
      0,
      ...length,
      ...text,
      ...bytes,
    ]);
  }
  const header = (descr: string, shape: string, order = "False") =>
    `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }    \n`;

  test("every type and version", () => {
    for (
      const [descr, data] of [
        ["<f4", Float32Array.of(1, 2, 3, 4)],
        ["<f8", Float64Array.of(1, 2, 3, 4)],
        ["<i4", Int32Array.of(-1, 2, 3, 4)],
        ["<i8", BigInt64Array.of(-1n, 2n, 3n, 4n)],
        ["|u1", Uint8Array.of(1, 2, 3, 255)],
      ] as const
    ) {
      for (const version of [1, 2, 3]) {
        const read = parseNpy(npy(header(descr, "(2, 2)"), data, version), "x");
        expect(read).toEqual({ shape: [2, 2], data });
      }
    }
    expect(parseNpy(npy(header("<f4", "()"), Float32Array.of(5)), "x").shape).toEqual([]);
    expect(parseNpy(npy(header("<f4", "(0,)"), new Float32Array()), "x").shape).toEqual([0]);
  });

  test("refuses the rest", () => {
    const one = Float32Array.of(1);
    for (
      const [bytes, message] of [
        [new Uint8Array(5), "not a .npy file"],
        [npy(header("<f4", "(1,)"), one, 4), "unknown version"],
        [npy(header("<f4", "(2,)"), one), "4 bytes of data for shape [2]"],
        [npy(header("<f4", "(1,)", "True"), one), "column-major"],
        [npy(header(">f4", "(1,)"), one), "not read"],
        [npy(header("|O", "(1,)"), one), "not read"],
        [npy("{'descr': __import__('os'), }", one), "unexpected header"],
        [npy(header("<f4", "(1,)"), one).subarray(0, 20), "cut short"],
      ] as const
    ) {
      expect(() => parseNpy(bytes, "x")).toThrow(message);
    }
  });
});

const fixtures = join(import.meta.dir, "../../../shared/fixtures/models");
const present = fs.existsSync(fixtures);
if (!present) console.log(`skipped: reference models are not at ${fixtures}`);

describe.skipIf(!present)("reference models", () => {
  for (const name of present ? fs.readdirSync(fixtures) : []) {
    test(`${name} opens; every safetensors file written again has the same bytes`, async () => {
      const model = await open(join(fixtures, name, "hf"));
      expect(model.tensors.size).toBeGreaterThan(10);
      expect(model.hash()).toMatch(/^[0-9a-f]{64}$/);
      for (const [tensor, { shape }] of model.tensors) {
        const values = model.readF32(tensor);
        expect(values.length).toBe(shape.reduce((a, b) => a * b, 1));
        expect(values.every(Number.isFinite)).toBe(true);
      }
      const glob = new Bun.Glob("**/*.safetensors");
      for (const path of glob.scanSync(join(fixtures, name))) {
        using file = openSafetensors(join(fixtures, name, path));
        const sources = [...file.tensors].map(([name, { dtype, shape }]) => ({
          name,
          dtype,
          shape,
          data: () => [file.readBytes(name)],
        }));
        const parts = await Array.fromAsync(
          safetensorsChunks(sources, Object.fromEntries(file.metadata)),
        );
        const bytes = fs.readFileSync(join(fixtures, name, path));
        expect([path, Buffer.concat(parts).equals(bytes)]).toEqual([path, true]);
      }
      for (const path of new Bun.Glob("*.npy").scanSync(join(fixtures, name))) {
        const { shape, data } = await readNpy(join(fixtures, name, path));
        expect([basename(dirname(path)), shape.length, shape[0]]).toEqual([".", 2, 48]);
        expect(data.length).toBe(48 * shape[1]!);
      }
    });
  }
});
