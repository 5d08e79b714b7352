import { afterAll, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testDevice } from "../../kernels/check.ts";
import { layInt8 } from "../../kernels/common/int8.ts";
import { layNf4 } from "../../kernels/common/nf4.ts";
import { fromF32 } from "../base/bits.ts";
import { Fail } from "../base/fail.ts";
import { normalFill } from "../base/random.ts";
import type { ModelFolder } from "../formats/model_folder.ts";
import { quantiseStoredRows } from "../formats/int8.ts";
import { nest, quantise } from "../formats/nf4.ts";
import { Graph } from "../graph/graph.ts";
import { Memory } from "../graph/memory.ts";
import { bytesOf, type Tensor } from "../graph/tensor.ts";
import { nf4Sources } from "../formats/nf4_state.ts";
import { type TensorSource, writeSafetensors } from "../formats/safetensors.ts";
import { loadWeights, type Model, netOf, openModel, specOf } from "./model.ts";

const device = await testDevice();

const spec = specOf({
  model_type: "llama",
  vocab_size: 8,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 1,
  num_attention_heads: 2,
});

/** A model of one tensor, which is all that loading asks for. */
function modelOf(
  data: Float32Array,
  double: boolean,
  dtype: "F32" | "BF16" = "F32",
): Model {
  const bytes = fromF32(data, dtype);
  const folder = {
    tensors: { get: () => ({ dtype }) },
    readBytes: (_: string, from: number, to: number) => bytes.slice(from, to),
  } as unknown as ModelFolder;
  return { ...spec, folder, quant: { type: "nf4", double } };
}

// In tiles and several pieces of 16 MiB, the last one short; in tiles at once; not in tiles.
for (const shape of [[1236, 4096], [12, 64], [7, 33]] as const) {
  for (const double of [false, true]) {
    test.skipIf(!device)(
      `loads [${shape}] as NF4${double ? ", scales in 8 bits" : ""}`,
      async () => {
        const [rows, columns] = shape, data = normalFill(1, 0, rows * columns, 0.1);
        const dtype = double ? "nf4_double" : "nf4";
        const t = new Graph().frozen("w", shape, dtype), memory = new Memory(device!);
        const told: number[] = [];
        await loadWeights(modelOf(data, double), memory, [t], (done) => told.push(done));
        const { buffer, size } = memory.place(t);
        const got = new Uint32Array((await device!.read(buffer, 0, size)).slice().buffer);
        const { codes, scales } = quantise(data);
        const want = layNf4({ codes, scales }, shape, double ? nest(scales) : undefined);
        expect(got.length).toBe(want.length);
        expect(got.findIndex((word, i) => word !== want[i])).toBe(-1);
        expect(told.at(-1)).toBe(bytesOf(t));
        expect(told).toEqual(told.toSorted((a, b) => a - b));
        memory.free();
      },
    );
  }
}

for (const shape of [[1236, 4096], [12, 64], [7, 33]] as const) {
  test.skipIf(!device)(`loads [${shape}] in 8 bits`, async () => {
    const [rows, columns] = shape, data = normalFill(2, 0, rows * columns, 0.1);
    const t = new Graph().frozen("w", shape, "int8"), memory = new Memory(device!);
    const { folder } = modelOf(data, false, "BF16");
    const told: number[] = [];
    await loadWeights(
      { ...spec, folder, quant: { type: "int8" } },
      memory,
      [t],
      (done) => told.push(done),
    );
    const { buffer, size } = memory.place(t);
    const got = new Uint32Array((await device!.read(buffer, 0, size)).slice().buffer);
    const want = layInt8(quantiseStoredRows(fromF32(data, "BF16"), "BF16", columns), shape);
    expect(got.length).toBe(want.length);
    expect(got.findIndex((word, i) => word !== want[i])).toBe(-1);
    expect(told.at(-1)).toBe(bytesOf(t));
    expect(told).toEqual(told.toSorted((a, b) => a - b));
    memory.free();
  });
}

test.skipIf(!device)("a weight that is not finite is refused by name", async () => {
  const data = new Float32Array(64 * 64);
  data[4000] = NaN;
  const t = new Graph().frozen("model.layers.0.mlp.up_proj.weight", [64, 64], "nf4");
  const memory = new Memory(device!);
  const loading = loadWeights(modelOf(data, false), memory, [t]);
  const why = `${t.name} holds NaN, which has no place in NF4`;
  await expect(loading).rejects.toThrow(new Fail(why));
  memory.free();
});

test("linear layers are quantised; head, embedding, norms and what is trained are not", () => {
  const folder = { tensors: { get: () => ({ dtype: "BF16" }) } } as unknown as ModelFolder;
  const model: Model = { ...spec, folder, quant: { type: "nf4", double: true } };
  const dtypes = (full: boolean) => {
    const net = netOf(model, new Graph(), { positions: 1, full });
    const of = (name: string, shape: number[]) => net.weight(name, shape).dtype;
    return [
      of("model.layers.0.self_attn.q_proj.weight", [64, 64]),
      of("model.layers.0.mlp.down_proj.weight", [64, 128]),
      of("lm_head.weight", [8, 64]),
      of("model.embed_tokens.weight", [8, 64]),
      of("model.layers.0.input_layernorm.weight", [64]),
    ];
  };
  expect(dtypes(false)).toEqual(["nf4_double", "nf4_double", "bf16", "bf16", "f32"]);
  expect(dtypes(true)).toEqual(["f32", "f32", "f32", "f32", "f32"]);
});

const micro = join(import.meta.dir, "../../models/micro");
const folder = mkdtempSync(join(tmpdir(), "whet-nf4-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The built-in model as bitsandbytes would save it; `spoil` may change what is written. */
async function saved(spoil = (sources: TensorSource[]) => sources): Promise<string> {
  const dir = mkdtempSync(join(folder, "m-"));
  const model = await openModel(micro), linears = new Set(model.architecture.linears);
  const sources = [...model.folder.tensors].flatMap(([name, { dtype, shape }]) => {
    if (!linears.has(name.split(".").at(-2)!) || shape.length !== 2) {
      return [{ name, dtype, shape, data: model.folder.readBytes(name) }];
    }
    const q = quantise(model.folder.readF32(name), name);
    return nf4Sources(name, { ...q, nested: nest(q.scales), shape, dtype: "float16" });
  });
  await writeSafetensors(join(dir, "model.safetensors"), spoil(sources));
  copyFileSync(join(micro, "config.json"), join(dir, "config.json"));
  model.folder.close();
  return dir;
}

/** What a model's frozen tensors hold on the device. */
async function loaded(model: Model, tensors: readonly Tensor[]): Promise<Uint8Array[]> {
  const memory = new Memory(device!);
  await loadWeights(model, memory, tensors);
  const all: Uint8Array[] = [];
  for (const t of tensors) {
    const { buffer, offset, size } = memory.place(t);
    all.push((await device!.read(buffer, offset, size)).slice());
  }
  memory.free();
  return all;
}

test.skipIf(!device)(
  "a model that bitsandbytes saved is the model quantised while loading",
  async () => {
    const theirs = await openModel(await saved());
    const ours = { ...await openModel(micro), quant: { type: "nf4", double: true } as const };
    const [a, b] = [theirs, ours].map((model) => {
      const g = new Graph(), net = netOf(model, g, { positions: 1 });
      for (const [name, { shape }] of ours.folder.tensors) net.weight(name, shape);
      return { model, frozen: g.all("frozen") };
    });
    expect(a!.frozen.map((t) => t.dtype)).toEqual(b!.frozen.map((t) => t.dtype));
    expect(a!.frozen.some((t) => t.dtype === "nf4_double")).toBe(true);
    const [left, right] = [await loaded(a!.model, a!.frozen), await loaded(b!.model, b!.frozen)];
    a!.frozen.forEach((t, i) => {
      expect([t.name, Buffer.compare(left[i]!, right[i]!)]).toEqual([t.name, 0]);
    });
    // Its numbers can be read by rows, as the merged weights of an export are.
    const { name, shape } = a!.frozen.find((t) => t.dtype === "nf4_double")!;
    const whole = theirs.folder.readF32(name);
    expect(theirs.folder.readF32(name, 3, 5)).toEqual(whole.slice(3 * shape[1]!, 5 * shape[1]!));
    expect(theirs.folder.readBytes(name).length).toBe(2 * whole.length);
    theirs.folder.close();
    ours.folder.close();
  },
);

test("a 4-bit model without its state is refused, naming the weight", async () => {
  const dir = await saved((sources) =>
    sources.filter(({ name }) => !/layers\.0.*q_proj.*quant_state/.test(name))
  );
  await expect(openModel(dir)).rejects.toThrow("self_attn.q_proj.weight is quantised, but its");
});
