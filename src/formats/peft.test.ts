import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromF32 } from "../base/bits.ts";
import { disk } from "../base/disk.ts";
import { Exit, Fail } from "../base/fail.ts";
import { openModel } from "./model_folder.ts";
import {
  type Adapter,
  checkFit,
  type LoraConfig,
  loraDefaults,
  rankOf,
  readAdapter,
  scaling,
  targets,
  writeAdapter,
} from "./peft.ts";
import { openSafetensors, type TensorSource, writeSafetensors } from "./safetensors.ts";

const real = { ...disk };
let dir: string;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "peft-"));
});
afterEach(() => {
  Object.assign(disk, real);
  fs.rmSync(dir, { recursive: true, force: true });
});

const config = (change: Partial<LoraConfig> = {}): LoraConfig => ({
  ...loraDefaults,
  r: 2,
  lora_alpha: 4,
  target_modules: ["q_proj"],
  ...change,
});
const q = "model.layers.0.self_attn.q_proj";
const tensor = (...shape: [number, number]) => ({
  shape,
  data: Float32Array.from(
    { length: shape[0] * shape[1] },
    (_, i) => Math.fround(Math.sin(i + shape[0])),
  ),
});
const pair = (): Map<string, ReturnType<typeof tensor>> =>
  new Map([[`${q}.lora_A.weight`, tensor(2, 6)], [`${q}.lora_B.weight`, tensor(4, 2)]]);

async function message(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(() => undefined, (e: unknown) => e);
  expect(error).toBeInstanceOf(Fail);
  expect((error as Fail).exit).toBe(Exit.data);
  return (error as Fail).message;
}

/** Writes an adapter by hand, so that it may be wrong. */
async function forge(json: object, tensors: TensorSource[] = []): Promise<void> {
  fs.writeFileSync(join(dir, "adapter_config.json"), JSON.stringify(json));
  await writeSafetensors(join(dir, "adapter_model.safetensors"), tensors);
}
const minimal = { peft_type: "LORA", r: 2, lora_alpha: 4, target_modules: ["q_proj"] };
const source = (name: string, shape: [number, number], value = 1): TensorSource => ({
  name,
  dtype: "F32",
  shape,
  data: fromF32(new Float32Array(shape[0] * shape[1]).fill(value), "F32"),
});
const a = (rows = 2) => source(`base_model.model.${q}.lora_A.weight`, [rows, 6]);
const b = (columns = 2) => source(`base_model.model.${q}.lora_B.weight`, [4, columns]);

describe("files", () => {
  test("what is written is read back, config and weights", async () => {
    const full = config({
      base_model_name_or_path: "org/name",
      task_type: "CAUSAL_LM",
      lora_dropout: 0.05,
      use_rslora: true,
      target_modules: ["v_proj", "q_proj"],
      rank_pattern: { "layers.0.self_attn.q_proj": 2 },
      alpha_pattern: { v_proj: 3 },
      layers_to_transform: [0],
      layers_pattern: "layers",
      exclude_modules: ["k_proj"],
      r: 3,
    });
    const written = await writeAdapter(dir, full, pair());
    const read = await readAdapter(dir);
    expect(read.config).toEqual({ ...full, target_modules: ["q_proj", "v_proj"] });
    expect(new Map(read.tensors)).toEqual(pair());
    expect(await writeAdapter(dir, full, pair())).toEqual(written);
    expect(fs.readdirSync(dir).sort()).toEqual([
      "adapter_config.json",
      "adapter_model.safetensors",
    ]);
  });

  test("the config has only keys that every PEFT knows, sorted and indented as PEFT does", async () => {
    await writeAdapter(dir, config({ task_type: "CAUSAL_LM" }), pair());
    expect(fs.readFileSync(join(dir, "adapter_config.json"), "utf8")).toBe(`{
  "base_model_name_or_path": null,
  "bias": "none",
  "fan_in_fan_out": false,
  "inference_mode": true,
  "init_lora_weights": true,
  "lora_alpha": 4,
  "lora_dropout": 0,
  "modules_to_save": null,
  "peft_type": "LORA",
  "r": 2,
  "target_modules": [
    "q_proj"
  ],
  "task_type": "CAUSAL_LM"
}`);
    using file = openSafetensors(join(dir, "adapter_model.safetensors"));
    expect(Object.fromEntries(file.metadata)).toEqual({ format: "pt" });
    expect([...file.tensors.keys()][0]).toBe(`base_model.model.${q}.lora_A.weight`);
  });

  test("half precision is widened; PEFT's defaults fill a bare config", async () => {
    const x = Float32Array.of(1, -0.5, 2, 4, 0.25, 8);
    await forge({ peft_type: "LORA", target_modules: ["q_proj"], rank_pattern: { q_proj: 1 } }, [
      {
        name: `base_model.model.${q}.lora_A.weight`,
        dtype: "BF16",
        shape: [1, 6],
        data: fromF32(x, "BF16"),
      },
      {
        name: `base_model.model.${q}.lora_B.weight`,
        dtype: "F16",
        shape: [6, 1],
        data: fromF32(x, "F16"),
      },
    ]);
    const read = await readAdapter(dir);
    expect([...read.tensors.values()].map((t) => [...t.data])).toEqual([[...x], [...x]]);
    expect(read.config).toEqual({
      ...loraDefaults,
      target_modules: ["q_proj"],
      rank_pattern: { q_proj: 1 },
    });
  });

  test("an interrupted rewrite is never new weights under an old config", async () => {
    for (let at = 1; at <= 25; at++) {
      Object.assign(disk, real);
      fs.rmSync(dir, { recursive: true });
      await writeAdapter(dir, config(), pair());
      let n = 0;
      for (const name of ["open", "write", "fsync", "close", "rename", "unlink"] as const) {
        const call = real[name] as (...args: unknown[]) => Promise<unknown>;
        Object.assign(disk, {
          [name]: (...args: unknown[]) =>
            ++n >= at ? Promise.reject(new Error("off")) : call(...args),
        });
      }
      const changed = pair();
      changed.get(`${q}.lora_A.weight`)!.data.fill(7);
      await writeAdapter(dir, config({ lora_alpha: 100 }), changed).catch(() => {});
      Object.assign(disk, real);
      const read = await readAdapter(dir).catch((error: unknown) => {
        expect(String(error)).toContain("there is no adapter_config.json");
      });
      if (read) {
        const value = read.tensors.get(`${q}.lora_A.weight`)!.data[0] === 7 ? 100 : 4;
        expect(read.config.lora_alpha).toBe(value);
      }
    }
  });
});

test("DoRA: a magnitude for every row of B, written and read under PEFT's name", async () => {
  const lengths = { shape: [4], data: Float32Array.of(1, 2, 3, 4) };
  const tensors = new Map<string, { shape: number[]; data: Float32Array }>([
    ...pair(),
    [`${q}.lora_magnitude_vector`, lengths],
  ]);
  const dora = config({ use_dora: true });
  await writeAdapter(dir, dora, tensors);
  expect(JSON.parse(fs.readFileSync(join(dir, "adapter_config.json"), "utf8")).use_dora).toBe(true);
  using file = openSafetensors(join(dir, "adapter_model.safetensors"));
  expect(file.tensors.get(`base_model.model.${q}.lora_magnitude_vector`)!.shape).toEqual([4]);
  const read = await readAdapter(dir);
  expect(read.config.use_dora).toBe(true);
  expect(new Map(read.tensors)).toEqual(tensors as never);
  const cases: [typeof tensors, string][] = [
    [pair() as never, `${q}.lora_magnitude_vector is missing`],
    [
      new Map([...tensors, [`${q}.lora_magnitude_vector`, { ...lengths, shape: [2, 2] }]]),
      "is [2, 2], expected [4]",
    ],
    [new Map([...tensors].slice(2)), "lora_A.weight is missing"],
  ];
  for (const [wrong, text] of cases) {
    expect(await message(writeAdapter(dir, dora, wrong))).toContain(text);
  }
});

describe("refusals", () => {
  test("missing and unexpected tensors are named", async () => {
    const cases: [TensorSource[], string][] = [
      [[], "there are no tensors"],
      [[a()], `${q}.lora_B.weight is missing`],
      [[b()], `${q}.lora_A.weight is missing`],
      [[a(3), b()], "is [3, 6], expected [2, in]"],
      [[a(), b(3)], "is [4, 3], expected [out, 2]"],
      [
        [a(), b(), source(`base_model.model.${q.replace("q_", "k_")}.lora_A.weight`, [2, 6])],
        "unexpected",
      ],
      [[a(), b(), source(`${q}.lora_A.weight`, [2, 6])], "names begin with base_model.model."],
      [[a(), b(), source("base_model.model.lm_head.weight", [2, 6])], "not a LoRA factor"],
      [[a(), b(), source(`base_model.model.${q}.lora_embedding_A`, [2, 6])], "an embedding"],
      [
        [a(), b(), source(`base_model.model.${q}.lora_magnitude_vector`, [2, 6])],
        "use_dora is false",
      ],
      [[a(), b(), source(`base_model.model.${q}.base_layer.bias`, [2, 6])], "a trained bias"],
      [[a(), source(`base_model.model.${q}.lora_B.weight`, [4, 2], NaN)], "holds NaN or infinity"],
    ];
    for (const [tensors, text] of cases) {
      await forge(minimal, tensors);
      expect(await message(readAdapter(dir))).toContain(text);
    }
  });

  test("features that would change the result are refused by name", async () => {
    const cases: [object, string][] = [
      [{ peft_type: "IA3" }, 'expected "LORA"'],
      [{ modules_to_save: ["lm_head"] }, "modules_to_save"],
      [{ lora_bias: true }, "lora_bias"],
      [{ bias: "all" }, "trained biases"],
      [{ bias: "lora_only" }, "trained biases"],
      [{ layer_replication: [[0, 2]] }, "layer_replication"],
      [{ trainable_token_indices: [1] }, "trainable_token_indices"],
      [{ target_parameters: ["w"] }, "target_parameters"],
      [{ alora_invocation_tokens: [1] }, "alora"],
      [{ use_qalora: true }, "use_qalora is not supported"],
      [{ use_something_new: true }, "use_something_new is not supported"],
      [{ kasa_config: { x: 1 } }, "kasa_config is not supported"],
      [{ init_lora_weights: "pissa_niter_16" }, "changed the base model"],
      [{ init_lora_weights: "olora" }, "changed the base model"],
      [{ target_modules: undefined }, "target_modules is missing"],
      [{ target_modules: [] }, "target_modules is missing"],
      [{ target_modules: [1] }, "expected names"],
      [{ target_modules: "(" }, "is not a regular expression"],
      [{ r: 0 }, "r is 0"],
      [{ r: 1.5 }, "r is 1.5"],
      [{ r: "8" }, 'r is "8"'],
      [{ lora_alpha: -1 }, "lora_alpha is -1"],
      [{ lora_dropout: 1 }, "lora_dropout is 1"],
      [{ rank_pattern: { q_proj: 0 } }, "rank_pattern is"],
      [{ rank_pattern: [] }, "rank_pattern is"],
      [{ alpha_pattern: { q_proj: "x" } }, "alpha_pattern is"],
      [{ use_rslora: 1 }, "use_rslora is 1"],
      [{ layers_to_transform: -1 }, "layers_to_transform is -1"],
    ];
    for (const [change, text] of cases) {
      await forge({ ...minimal, ...change }, [a(), b()]);
      expect(await message(readAdapter(dir))).toContain(text);
    }
    await forge({ ...minimal, init_lora_weights: "gaussian", loftq_config: {}, use_dora: false }, [
      a(),
      b(),
    ]);
    await readAdapter(dir);
  });

  test("missing files, pickles and models are told apart", async () => {
    expect(await message(readAdapter(join(dir, "none")))).toContain("no such folder");
    expect(await message(readAdapter(dir))).toContain("there is no adapter_config.json");
    fs.writeFileSync(join(dir, "config.json"), "{}");
    expect(await message(readAdapter(dir))).toContain("this is a base model");
    fs.writeFileSync(join(dir, "adapter_config.json"), JSON.stringify(minimal));
    expect(await message(readAdapter(dir))).toContain("there is no adapter_model.safetensors");
    fs.writeFileSync(join(dir, "adapter_model.bin"), "");
    expect(await message(readAdapter(dir))).toContain("pickled");
  });

  test("writing checks what reading checks, and writes nothing then", async () => {
    expect(await message(writeAdapter(dir, config({ r: 3 }), pair()))).toContain(
      "expected [3, in]",
    );
    const short = pair().set(`${q}.lora_A.weight`, { shape: [2, 6], data: new Float32Array(5) });
    expect(await message(writeAdapter(dir, config(), short))).toContain("5 values for [2, 6]");
    expect(fs.readdirSync(dir)).toEqual([]);
  });
});

describe("rules", () => {
  test("target_modules: names, endings, expressions", () => {
    const yes = (change: Partial<LoraConfig>, module: string) => targets(config(change), module);
    expect(yes({}, q)).toBe(true);
    expect(yes({}, "q_proj")).toBe(true);
    expect(yes({}, "model.my_q_proj")).toBe(false);
    expect(yes({ target_modules: [q] }, q)).toBe(true);
    expect(yes({ target_modules: ["self_attn.q_proj"] }, q)).toBe(true);
    expect(yes({ target_modules: "q_proj" }, q)).toBe(false);
    expect(yes({ target_modules: ".*\\.(?P<p>q|v)_proj" }, q)).toBe(true);
    expect(yes({ target_modules: ".*q_pro" }, q)).toBe(false);
    expect(yes({ target_modules: "a|.*q_proj" }, q)).toBe(true);
    expect(yes({ target_modules: "(?i).*Q_PROJ\\Z" }, q)).toBe(true);
    expect(yes({ target_modules: "all-linear" }, q)).toBe(true);
    expect(yes({ target_modules: "ALL-LINEAR" }, "lm_head")).toBe(false);
    expect(yes({ exclude_modules: ["layers.0.self_attn.q_proj"] }, q)).toBe(false);
    expect(yes({ exclude_modules: ".*layers\\.0\\..*" }, q)).toBe(false);
    expect(yes({ exclude_modules: "layers" }, q)).toBe(true);
  });

  test("layers_to_transform: the first numbered part counts", () => {
    const at = (change: Partial<LoraConfig>) =>
      [0, 1, 2].filter((i) => targets(config(change), `model.layers.${i}.moe.experts.1.q_proj`));
    expect(at({ layers_to_transform: 1 })).toEqual([1]);
    expect(at({ layers_to_transform: [0, 2] })).toEqual([0, 2]);
    expect(at({ layers_to_transform: [] })).toEqual([0, 1, 2]);
    expect(at({ layers_to_transform: [1], layers_pattern: "experts" })).toEqual([0, 1, 2]);
    expect(at({ layers_to_transform: [1], layers_pattern: ["blocks", "layers"] })).toEqual([1]);
    expect(at({ layers_to_transform: [1], layers_pattern: "blocks" })).toEqual([]);
    expect(targets(config({ layers_to_transform: [1] }), "encoder.q_proj")).toBe(false);
    expect(targets(config({ layers_to_transform: [1], target_modules: [q] }), q)).toBe(true);
  });

  test("rank, alpha and scale by pattern: the first key that matches the end", () => {
    const c = config({
      r: 8,
      lora_alpha: 16,
      rank_pattern: { "layers.0.*": 99, "q_proj": 4, "^model.layers.1.self_attn.v_proj": 2 },
      alpha_pattern: { "layers\\.0\\..*q_proj": 32 },
    });
    const v1 = "model.layers.1.self_attn.v_proj";
    expect(rankOf(c, q)).toBe(99);
    expect(rankOf(c, "model.layers.1.self_attn.q_proj")).toBe(4);
    expect(rankOf(c, "model.layers.1.my_q_proj")).toBe(8);
    expect(rankOf(c, v1)).toBe(2);
    expect(scaling(c, v1)).toBe(8);
    expect(scaling({ ...c, use_rslora: true }, "model.layers.1.self_attn.q_proj")).toBe(8);
    expect(scaling(c, q)).toBeCloseTo(32 / 99, 12);
  });

  test("an adapter fits its base or says where not", () => {
    const adapter = (c = config()): Adapter => ({ config: c, tensors: pair() });
    const base = (shape: number[] = [4, 6], more: [string, { shape: number[] }][] = []) =>
      new Map([
        [`${q}.weight`, { shape }],
        ["model.embed_tokens.weight", { shape: [9, 6] }],
        ...more,
      ]);
    checkFit(adapter(), base());
    checkFit(adapter(config({ target_modules: "all-linear" })), base());
    expect(() => checkFit(adapter(), base([4, 7]))).toThrow(`but ${q} is [4, 7]`);
    expect(() => checkFit(adapter(), base([5, 6]))).toThrow(`but ${q} is [5, 6]`);
    expect(() => checkFit(adapter(), base([24]))).toThrow("no linear layer");
    expect(() => checkFit(adapter(), new Map())).toThrow("no linear layer");
    const second = q.replace("0", "1");
    expect(() => checkFit(adapter(), base([4, 6], [[`${second}.weight`, { shape: [4, 6] }]])))
      .toThrow(`${second}.lora_A.weight is missing`);
  });
});

const fixtures = join(import.meta.dir, "../../../shared/fixtures/models");
const present = fs.existsSync(fixtures);
if (!present) console.log(`skipped: reference adapters are not at ${fixtures}`);

describe.skipIf(!present)("adapters made by PEFT", () => {
  for (const name of present ? fs.readdirSync(fixtures) : []) {
    test(`${name}: fits its base, and is written again with the same bytes`, async () => {
      const from = join(fixtures, name, "peft");
      const adapter = await readAdapter(from);
      using model = await openModel(join(fixtures, name, "hf"));
      checkFit(adapter, model.tensors);
      const rank = name === "bert" ? 4 : 8;
      for (const [key, { shape }] of adapter.tensors) {
        expect(shape[key.endsWith("A.weight") ? 0 : 1]).toBe(rank);
      }
      expect(scaling(adapter.config, [...adapter.tensors.keys()][0]!.split(".lora_")[0]!)).toBe(2);
      await writeAdapter(dir, adapter.config, adapter.tensors);
      const [theirs, ours] = [from, dir].map((d) =>
        fs.readFileSync(join(d, "adapter_model.safetensors"))
      );
      expect(ours!.equals(theirs!)).toBe(true);
      const again = await readAdapter(dir);
      const sorted = [...adapter.config.target_modules].sort();
      expect(again.config).toEqual({ ...adapter.config, target_modules: sorted });
      expect(again.tensors).toEqual(adapter.tensors);
    });
  }
});
