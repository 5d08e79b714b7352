/** A model folder with its linear layers in 4 or 8 bits, as transformers and bitsandbytes save one. */
import { existsSync, rmdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type Model, openModel, type Quant } from "../architectures/model.ts";
import { requireRoom } from "../base/disk.ts";
import { writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { makeWhole } from "../base/folder.ts";
import { openSpool, type Spool } from "../base/spool.ts";
import { type FloatType, sizeOf as bytesOf } from "../formats/encode.ts";
import { quantiseStoredRows } from "../formats/int8.ts";
import { int8Sources } from "../formats/int8_state.ts";
import { BLOCK, nest, quantiseStored } from "../formats/nf4.ts";
import { nf4Sources } from "../formats/nf4_state.ts";
import { readSentenceConfig, writeSentenceConfig } from "../formats/sentence.ts";
import { type TensorSource, writeSafetensors } from "../formats/safetensors.ts";
import {
  copyCompanions,
  cutShards,
  requireEmpty,
  SHARD_BYTES,
  shardName,
  sizeOf,
  writeIndex,
} from "./shards.ts";

export interface QuantizeOptions {
  /** A Hugging Face folder. */
  readonly model: string;
  /** A folder that does not exist yet, or is empty. */
  readonly out: string;
  readonly quant: Quant;
  /** Bytes of a shard at most, 5 GB as transformers has it; a larger tensor has a shard of its own. */
  readonly shardBytes?: number;
  /** Told the bytes read, and all that will be. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface QuantizeResult {
  readonly path: string;
  /** Bytes of all tensors before and after. */
  readonly before: number;
  readonly bytes: number;
  /** How many tensors are quantised now, and how many stay as they were. */
  readonly quantised: number;
  readonly kept: number;
  /** Names of the files, in the order they were written. */
  readonly files: readonly string[];
}

/** Numbers that are read and quantised at once; a multiple of a block. */
const PIECE = 4 * 2 ** 20;
/** What was read last: each piece is done with when the next is read. */
const piece = new Uint8Array(4 * PIECE);
const torchTypes = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

/**
 * Writes the model with its linear layers quantised as they are while loading: what is trained on the
 * copy is trained on the same codes. Embeddings, head, norms and biases are copied byte for byte; so are
 * tokenizer and licence files. Weights stream: the codes of a shard go
 * through a temporary file. The folder is there whole or not at all.
 *
 * @throws Fail when `out` has files in it (exit 2), the model is quantised already, does not fit its
 *   config.json or holds a number that is not finite (exit 3), or the disk refuses (12)
 */
export async function quantizeModel(options: QuantizeOptions): Promise<QuantizeResult> {
  const { out, quant, shardBytes = SHARD_BYTES, onProgress } = options;
  requireEmpty(out);
  const model = await openModel(options.model), { folder } = model;
  try {
    if (folder.quantised) {
      throw new Fail(`${options.model} is quantised already`, {
        why: "rounding a second time would only add to the error",
        fix: "start from the folder that it was made of",
        exit: Exit.data,
      });
    }
    if (model.architecture.tasks?.(folder.config)) {
      throw new Fail(`${options.model} has adapters for tasks: it is not quantised on disk`, {
        why: "which of them is merged in is chosen when the model is opened",
        fix: "--quant nf4 where it is used: matrices are quantised while they load",
        exit: Exit.usage,
      });
    }
    const plan = planned(model, quant), shards = cutShards(plan, ({ after }) => after, shardBytes);
    const sum = (items: readonly Planned[], of: "before" | "after") =>
      items.reduce((total, item) => total + item[of], 0);
    const before = sum(plan, "before");
    const needed = sum(plan, "after") + Math.max(...shards.map((shard) => sum(shard, "after")));
    requireRoom(existing(out), needed, `the copy of ${options.model}`);
    let done = 0;
    const read = (bytes: number) => onProgress?.(done += bytes, before);
    if (existsSync(out)) rmdirSync(out); // it is empty
    const { files, bytes } = await makeWhole(out, async (dir) => {
      const files: string[] = [], weightMap: Record<string, string> = {};
      let bytes = 0;
      for (const [i, shard] of shards.entries()) {
        const name = shardName(i, shards.length);
        const sources = await writeShard(join(dir, name), model, quant, shard, read);
        for (const source of sources) {
          weightMap[source.name] = name;
          bytes += sizeOf(source);
        }
        files.push(name);
      }
      if (shards.length > 1) files.push(await writeIndex(dir, bytes, weightMap));
      files.push(...await copyCompanions(dir, folder.dir));
      const sentence = readSentenceConfig(folder.dir);
      if (sentence) await writeSentenceConfig(dir, sentence, model.sizes.width);
      const config = { ...folder.config, quantization_config: quantConfig(model, quant) };
      await writeFile(join(dir, "config.json"), JSON.stringify(config, null, 2) + "\n");
      return { files: [...files, "config.json"], bytes };
    });
    const quantised = plan.filter((item) => item.linear).length;
    return { path: out, before, bytes, files, quantised, kept: plan.length - quantised };
  } finally {
    folder.close();
  }
}

/** The nearest folder above a path that is there. */
function existing(path: string): string {
  const full = resolve(path);
  return existsSync(full) ? full : existing(dirname(full));
}

/** The codes of a shard are made first, into a spool: other parts, which come before them, depend on all. */
async function writeShard(
  path: string,
  model: Model,
  quant: Quant,
  shard: readonly Planned[],
  read: (bytes: number) => void,
): Promise<TensorSource[]> {
  const spool = await openSpool(path);
  try {
    const sources: TensorSource[] = [];
    for (const { name, linear } of shard) {
      if (linear) sources.push(...await quantised(model, name, quant, spool, read));
      else sources.push(copied(model, name, read));
    }
    await writeSafetensors(path, sources);
    return sources;
  } finally {
    await spool.close();
  }
}

interface Planned {
  readonly name: string;
  readonly linear: boolean;
  /** Bytes. */
  readonly before: number;
  /** Bytes, but for some hundreds of tables and texts. */
  readonly after: number;
}

function planned({ folder, architecture }: Model, quant: Quant): Planned[] {
  return [...folder.tensors].map(([name, { bytes, shape }]) => {
    const [module, part] = name.split(".").slice(-2);
    const linear = part === "weight" && architecture.linears.includes(module!);
    if (!linear) return { name, linear, before: bytes, after: bytes };
    const n = shape.reduce((a, b) => a * b, 1), blocks = Math.ceil(n / BLOCK);
    const after = quant.type === "int8"
      ? n + 4 * shape[0]!
      : n / 2 + (quant.double ? blocks * (1 + 4 / 256) : 4 * blocks);
    return { name, linear, before: bytes, after };
  });
}

function copied(
  { folder }: Model,
  name: string,
  read: (bytes: number) => void,
): TensorSource {
  const { dtype, shape, bytes } = folder.tensors.get(name)!;
  function* data() {
    for (let from = 0; from < bytes; from += piece.length) {
      const some = folder.readBytes(name, from, Math.min(bytes, from + piece.length), piece);
      yield some;
      read(some.length);
    }
  }
  return { name, dtype, shape, data };
}

/** The parts of a quantised matrix; its codes go through the spool. */
async function quantised(
  { folder }: Model,
  name: string,
  quant: Quant,
  spool: Spool,
  read: (bytes: number) => void,
): Promise<TensorSource[]> {
  const { dtype, shape } = folder.tensors.get(name)!, type = dtype as FloatType;
  const n = shape.reduce((a, b) => a * b, 1), width = n / shape[0]!;
  const int8 = quant.type === "int8", unit = int8 ? width : BLOCK;
  const step = Math.max(1, Math.floor(PIECE / unit)) * unit;
  const scales = new Float32Array(Math.ceil(n / unit));
  function* codes() {
    for (let from = 0; from < n; from += step) {
      const to = Math.min(n, from + step);
      const bytes = folder.readBytes(name, from * bytesOf[type], to * bytesOf[type], piece);
      const made = int8
        ? quantiseStoredRows(bytes, type, width, name)
        : quantiseStored(bytes, type, name);
      scales.set("absmax" in made ? made.absmax : made.scales, from / unit);
      yield new Uint8Array(made.codes.buffer);
      read(bytes.length);
    }
  }
  const data = await spool.put(codes());
  const nested = quant.type === "nf4" && quant.double ? nest(scales) : undefined;
  const sources = int8
    ? int8Sources(name, { codes: data, absmax: scales }, shape)
    : nf4Sources(name, { codes: data, scales, nested, shape, dtype: torchTypes[type] });
  const light: TensorSource[] = [];
  for (const { data, ...rest } of sources) {
    const large = data instanceof Uint8Array && data.length > 2 ** 12;
    light.push({ ...rest, data: large ? await spool.put([data]) : data });
  }
  return light;
}

/** What transformers writes into config.json for bitsandbytes, in its order. */
function quantConfig({ folder, architecture }: Model, quant: Quant) {
  const four = quant.type === "nf4";
  const name = [...folder.tensors.keys()].find((name) =>
    architecture.linears.includes(name.split(".").at(-2)!)
  )!;
  const type = torchTypes[folder.tensors.get(name)!.dtype as FloatType];
  return {
    _load_in_4bit: four,
    _load_in_8bit: !four,
    bnb_4bit_compute_dtype: four ? type : "float32",
    bnb_4bit_quant_storage: "uint8",
    bnb_4bit_quant_type: four ? "nf4" : "fp4",
    bnb_4bit_use_double_quant: four && quant.double,
    llm_int8_enable_fp32_cpu_offload: false,
    llm_int8_has_fp16_weight: false,
    llm_int8_skip_modules: null,
    llm_int8_threshold: 6,
    load_in_4bit: four,
    load_in_8bit: !four,
    quant_method: "bitsandbytes",
  };
}
