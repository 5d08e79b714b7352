import { Exit, Fail } from "../base/fail.ts";
import { type ModelFolder, openModel as openFolder } from "../formats/model_folder.ts";
import type { Storage } from "../../kernels/common/stored.ts";
import { Graph } from "../graph/graph.ts";
import { layNf4, layNf4Codes, layNf4Scales, tiled } from "../../kernels/common/nf4.ts";
import { layInt8 } from "../../kernels/common/int8.ts";
import { quantiseRows, throughF16 } from "../formats/int8.ts";
import { type QuantisedFolder, withQuantised } from "../formats/quantised_folder.ts";
import { BLOCK, nest, quantise, unnest } from "../formats/nf4.ts";
import type { Memory } from "../graph/memory.ts";
import { bytesOf, type DType, show, type Tensor } from "../graph/tensor.ts";
import { type Lora, Net } from "../nn/net.ts";
import type { ModelSpec } from "./architecture.ts";
import { architectureOf } from "./mod.ts";
import { PackedBatch } from "./packed.ts";

/** How the linear layers of a frozen base are kept on the device; the head and embeddings never are. */
export type Quant =
  | { readonly type: "int8" }
  | {
    readonly type: "nf4";
    /** The scales of blocks are rounded to 8 bits, as double quantisation does. */
    readonly double: boolean;
  };

/** A base model on disk. */
export interface Model extends ModelSpec {
  readonly folder: QuantisedFolder;
  /** Undefined: as the checkpoint has them, which may be quantised too. */
  readonly quant?: Quant;
  /** How the activations of the forward pass are stored; f32 unless told. */
  readonly compute?: Storage;
}

/** What a config.json describes. Throws Fail for an unknown family or a setting it cannot run. */
export function specOf(json: Record<string, unknown>): ModelSpec {
  const architecture = architectureOf(json), config = architecture.config(json);
  return { architecture, config, sizes: architecture.sizes(config) };
}

/** Checkpoint entries that carry no weight: buffers that old exporters wrote along. */
const IGNORED = /(rotary_emb\.inv_freq|attention\.bias|attention\.masked_bias)$/;

/**
 * Opens a Hugging Face model folder and compares it with what its architecture will read: missing,
 * extra and misshapen weights are found here, before a byte reaches the GPU.
 * @throws Fail (exit 3) naming up to 20 tensors
 */
export async function openModel(dir: string): Promise<Model> {
  return modelOf(await openFolder(dir));
}

/** The same for weights that are open already, from whatever file; closed when they do not fit. */
export function modelOf(folder: ModelFolder): Model {
  try {
    const model: Model = { folder: withQuantised(folder), ...specOf(folder.config) };
    compare(model);
    return model;
  } catch (error) {
    folder.close();
    throw error;
  }
}

/** The layers' view of the model on a new graph. */
export function netOf(
  model: Model,
  g: Graph,
  o: { positions: number; full?: boolean; lora?: Lora },
): Net {
  return new Net(g, o.positions, (name) => storage(model, name), o.full, o.lora, model.compute);
}

/** The type a base matrix is kept in on the device: what the checkpoint has, or what `quant` says. */
function storage(model: Model, name: string): DType {
  const [module, part] = name.split(".").slice(-2);
  if (model.quant && part === "weight" && model.architecture.linears.includes(module!)) {
    return model.quant.type;
  }
  const kept = model.folder.quantised?.get(name);
  if (kept) return kept;
  const found = model.folder.tensors.get(name);
  switch (found?.dtype) {
    case "F16":
      return "f16";
    case "BF16":
      return "bf16";
    default:
      return "f32"; // also what is missing: `compare` names it
  }
}

/** Every base weight the architecture reads, by checkpoint name, with its shape. */
export function manifest(model: ModelSpec): Tensor[] {
  const g = new Graph(), net = new Net(g, 1, () => "f32");
  const batch = new PackedBatch(g, model.sizes.vocab, { tokens: 1, targets: 1 });
  batch.loss(model, net, batch.hidden(model, net), false);
  return g.all("frozen");
}

function compare(model: Model): void {
  const wanted = new Map(manifest(model).map((t) => [t.name, t]));
  const { tensors, dir } = model.folder;
  const wrong: string[] = [];
  for (const [name, t] of wanted) {
    const found = tensors.get(name);
    if (!found) wrong.push(`missing: ${show(t)}`);
    else if (String(found.shape) !== String(t.shape)) {
      wrong.push(
        `shape: ${name} is [${found.shape.join(", ")}], config.json makes it [${
          t.shape.join(", ")
        }]`,
      );
    } else if (!["F32", "F16", "BF16"].includes(found.dtype)) {
      wrong.push(`type: ${name} is ${found.dtype}; F32, F16 and BF16 can be read`);
    }
  }
  const tied = (name: string) => name === "lm_head.weight" && !wanted.has(name);
  for (const name of tensors.keys()) {
    if (!wanted.has(name) && !IGNORED.test(name) && !tied(name)) {
      wrong.push(`not part of the model: ${name}`);
    }
  }
  if (wrong.length === 0) return;
  const lines = wrong.slice(0, 20);
  if (wrong.length > 20) lines.push(`and ${wrong.length - 20} more`);
  throw new Fail(
    `${dir}: the weights are not those of the ${model.architecture.modelType} model in config.json`,
    {
      why: lines.join("\n"),
      fix: "fetch the folder again; config.json and the safetensors files must belong together",
      exit: Exit.data,
    },
  );
}

/** Bytes read from disk at once while weights stream to the device. */
const CHUNK = 16 * 2 ** 20;

/**
 * Streams base weights to the device: frozen ones as they are stored or quantised on the way, vectors and
 * trained ones as f32.
 * @param tensors what to load; each at most once for a `memory`
 * @param progress called with device bytes done and device bytes in total
 * @throws Fail (data) naming a weight that is to be quantised and holds NaN or infinity
 */
export async function loadWeights(
  model: Model,
  memory: Memory,
  tensors: readonly Tensor[],
  progress?: (done: number, total: number) => void,
): Promise<void> {
  const total = tensors.reduce((sum, t) => sum + bytesOf(t), 0);
  let done = 0;
  for (const t of tensors) {
    if (t.dtype === "int8" || t.dtype === "nf4") {
      const load = t.dtype === "nf4" ? loadNf4 : loadInt8;
      load(model, memory, t, (bytes) => progress?.(done + bytes, total));
      done += bytesOf(t);
      continue;
    }
    const width = t.shape.length > 1 ? t.shape.slice(1).reduce((a, b) => a * b, 1) : 1;
    const rows = t.shape[0]!, step = Math.max(1, Math.floor(CHUNK / (4 * width)));
    const { buffer, offset } = memory.place(t);
    // A chunk of 2-byte elements must end on a whole u32 word.
    const even = t.dtype === "f32" ? step : Math.max(2, step - step % 2);
    for (let from = 0; from < rows; from += even) {
      const to = Math.min(rows, from + even);
      const data = t.dtype === "f32"
        ? await model.folder.readF32(t.name, from, to)
        : await model.folder.readBytes(t.name, from * width * 2, to * width * 2);
      const element = t.dtype === "f32" ? 4 : 2;
      memory.device.write(buffer, offset + from * width * element, data);
      done += data.byteLength;
      progress?.(done, total);
    }
  }
}

/** Brings one matrix from disk to device, quantised on the way where it is not: its codes in pieces of whole blocks, then all its scales. */
function loadNf4(
  { folder, quant }: Model,
  memory: Memory,
  t: Tensor,
  progress: (bytes: number) => void,
): void {
  if (folder.quantised?.get(t.name) === "nf4") {
    memory.write(t, layNf4(folder.nf4!(t.name), t.shape));
    return progress(bytesOf(t));
  }
  const [rows, width] = t.shape as [number, number], n = rows * width;
  const { buffer, offset } = memory.place(t);
  const scales = new Float32Array(Math.ceil(n / BLOCK));
  const finished = () => quant?.type === "nf4" && quant.double ? unnest(nest(scales)) : scales;
  if (!tiled(t.shape)) {
    const { codes, scales: all } = quantise(folder.readF32(t.name), t.name);
    scales.set(all);
    memory.write(t, layNf4({ codes, scales: finished() }, t.shape));
    return progress(bytesOf(t));
  }
  const step = Math.max(4, Math.floor(CHUNK / (16 * width)) * 4);
  for (let from = 0; from < rows; from += step) {
    const to = Math.min(rows, from + step);
    const { codes, scales: some } = quantise(folder.readF32(t.name, from, to), t.name);
    scales.set(some, from * width / BLOCK);
    memory.device.write(buffer, offset + from * width / 2, layNf4Codes(codes, width));
    progress(to * width / 2);
  }
  memory.device.write(buffer, offset + n / 2, layNf4Scales(finished(), width));
  progress(bytesOf(t));
}

/** Brings one matrix from disk to device in 8 bits, some rows at a time: those of the file or made here. */
function loadInt8(
  { folder }: Model,
  memory: Memory,
  t: Tensor,
  progress: (bytes: number) => void,
): void {
  const [rows, width] = t.shape as [number, number];
  const { buffer, offset } = memory.place(t);
  const saved = folder.quantised?.get(t.name) === "int8";
  const exact = folder.tensors.get(t.name)!.dtype === "F16";
  const step = Math.max(4, Math.floor(CHUNK / (16 * width)) * 4); // whole words of codes
  const scales = Math.ceil(rows * width / 4) * 4;
  for (let from = 0; from < rows; from += step) {
    const to = Math.min(rows, from + step);
    const values = () => {
      const read = folder.readF32(t.name, from, to);
      return quantiseRows(exact ? read : throughF16(read, t.name), width, t.name);
    };
    const some = layInt8(saved ? folder.int8!(t.name, from, to) : values(), [to - from, width]);
    const codes = some.length - (to - from);
    memory.device.write(buffer, offset + from * width, some.subarray(0, codes));
    memory.device.write(buffer, offset + scales + from * 4, some.subarray(codes));
    progress(to * width);
  }
  progress(bytesOf(t));
}
