import { expect, test } from "bun:test";
import { testDevice } from "../../kernels/check.ts";
import { layNf4 } from "../../kernels/common/nf4.ts";
import { Fail } from "../base/fail.ts";
import { normalFill } from "../base/random.ts";
import type { ModelFolder } from "../formats/model_folder.ts";
import { nest, quantise, unnest } from "../formats/nf4.ts";
import { Graph } from "../graph/graph.ts";
import { Memory } from "../graph/memory.ts";
import { bytesOf } from "../graph/tensor.ts";
import { loadWeights, type Model, netOf, specOf } from "./model.ts";

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
function modelOf(shape: readonly [number, number], data: Float32Array, double: boolean): Model {
  const folder = {
    readF32: (_: string, from = 0, to = shape[0]) => data.slice(from * shape[1], to * shape[1]),
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
        const t = new Graph().frozen("w", shape, "nf4"), memory = new Memory(device!);
        const told: number[] = [];
        await loadWeights(modelOf(shape, data, double), memory, [t], (done) => told.push(done));
        const { buffer, size } = memory.place(t);
        const got = new Uint32Array((await device!.read(buffer, 0, size)).slice().buffer);
        const { codes, scales } = quantise(data);
        const want = layNf4({ codes, scales: double ? unnest(nest(scales)) : scales }, shape);
        expect(got.length).toBe(want.length);
        expect(got.findIndex((word, i) => word !== want[i])).toBe(-1);
        expect(told.at(-1)).toBe(bytesOf(t));
        expect(told).toEqual(told.toSorted((a, b) => a - b));
        memory.free();
      },
    );
  }
}

test.skipIf(!device)("a weight that is not finite is refused by name", async () => {
  const data = new Float32Array(64 * 64);
  data[4000] = NaN;
  const t = new Graph().frozen("model.layers.0.mlp.up_proj.weight", [64, 64], "nf4");
  const memory = new Memory(device!);
  const loading = loadWeights(modelOf([64, 64], data, false), memory, [t]);
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
  expect(dtypes(false)).toEqual(["nf4", "nf4", "bf16", "bf16", "f32"]);
  expect(dtypes(true)).toEqual(["f32", "f32", "f32", "f32", "f32"]);
});
