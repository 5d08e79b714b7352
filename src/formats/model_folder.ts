/** Model folders as Hugging Face transformers writes them: config.json and safetensors, in shards or not. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type Dtype, fromF32 } from "../base/bits.ts";
import { Exit, Fail } from "../base/fail.ts";
import { isObject, type JsonObject } from "../base/strict_json.ts";
import { bytesIn, fileIn, isPlainName, namesIn, parseObject } from "./model_files.ts";
import type { FloatType } from "./encode.ts";
import { openSafetensors, type Safetensors } from "./safetensors.ts";

const single = "model.safetensors";
const index = "model.safetensors.index.json";
const expected = "config.json, model.safetensors (or shards with their index) and tokenizer.json";
const megabyte = 2 ** 20;

export interface ModelTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** An open model folder. Nothing but headers is in memory until it is asked for. */
export interface ModelFolder extends Disposable {
  readonly dir: string;
  /** config.json as it is. */
  readonly config: JsonObject;
  /** generation_config.json as it is, where there is one. */
  readonly generationConfig: JsonObject | undefined;
  /** By the names in the files. */
  readonly tensors: ReadonlyMap<string, ModelTensor>;
  /**
   * Bytes `from` (included) to `to` (excluded) of a tensor; all of it unless given. They may be put at the
   * start of `into`, which spares making a new array.
   */
  readBytes(name: string, from?: number, to?: number, into?: Uint8Array): Uint8Array;
  /** Rows of a tensor (its first dimension) as float32. */
  readF32(name: string, rowFrom?: number, rowTo?: number): Float32Array;
  /**
   * The name under which the files hold a tensor, when some exporters leave out or add the prefix of
   * the body ("model.layers.0…", "layers.0…", "bert.encoder…"). Undefined if there is none.
   */
  resolve(name: string): string | undefined;
  /** Whether the files hold a matrix of this name [in, out], and `tensors` the other way round. */
  turned?(name: string): boolean;
  /**
   * What model this is: SHA-256 over config.json, the headers, and a few bytes of up to 512 tensors.
   * Cheap, and different for two trainings of the same architecture.
   */
  hash(): string;
  close(): void;
}

/**
 * The bytes of tensors whose numbers are made when they are read, each in its own type: what `readBytes`
 * is where only rows can be read.
 */
export function storedAs(
  tensors: ReadonlyMap<string, ModelTensor>,
  readF32: ModelFolder["readF32"],
): ModelFolder["readBytes"] {
  return (name, from = 0, to) => {
    const { dtype, shape, bytes } = tensors.get(name)!, row = bytes / shape[0]!;
    const first = Math.floor(from / row), end = to ?? bytes;
    const whole = fromF32(readF32(name, first, Math.ceil(end / row)), dtype as FloatType);
    return whole.subarray(from - first * row, end - first * row);
  };
}

function fail(what: string, fix: string, why?: string): Fail {
  return new Fail(what, { why, fix, exit: Exit.data });
}

function noWeights(dir: string, names: string[]): Fail {
  if (names.some((name) => /\.(bin|pt|pth)$/.test(name))) {
    return fail(
      `${dir}: the weights are pickled PyTorch files (*.bin), not safetensors`,
      "Save them once with transformers: AutoModelForCausalLM.from_pretrained(dir).save_pretrained(dir)",
      "Opening a pickle runs whatever code is in it, so whet does not.",
    );
  }
  const gguf = names.find((name) => name.endsWith(".gguf"));
  if (gguf) {
    return fail(
      `${dir}: found ${gguf}, expected ${single}`,
      `Training starts from the Hugging Face folder of the model: ${expected}.`,
    );
  }
  return fail(
    `${dir}: there is no ${single} and no ${index}`,
    `Give a folder that holds ${expected}.`,
  );
}

function readConfig(dir: string, names: string[]): Uint8Array {
  const bytes = bytesIn(dir, "config.json", 16 * megabyte);
  if (bytes) return bytes;
  if (names.includes("adapter_config.json")) {
    throw fail(
      `${dir}: this is an adapter, not a model`,
      `Name its base model with -m and the adapter with -a ${dir}`,
    );
  }
  throw fail(`${dir}: there is no config.json`, `Give a folder that holds ${expected}.`);
}

/** Tensor name -> shard file, checked name by name. */
function readIndex(dir: string): Map<string, string> | undefined {
  const bytes = bytesIn(dir, index, 100 * megabyte);
  if (!bytes) return undefined;
  const file = join(dir, index);
  const again = "Fetch the folder again.";
  const { weight_map: map } = parseObject(bytes, file);
  if (!isObject(map)) throw fail(`${file}: weight_map is not an object`, again);
  const shards = new Map<string, string>();
  for (const [name, shard] of Object.entries(map)) {
    const shown = JSON.stringify(shard).slice(0, 200);
    if (typeof shard !== "string" || !isPlainName(shard) || !shard.endsWith(".safetensors")) {
      throw fail(
        `${file}: ${JSON.stringify(name.slice(0, 100))} is said to be in ${shown}`,
        again,
        "A shard must be a plain .safetensors file name in the same folder.",
      );
    }
    shards.set(name, shard);
  }
  if (shards.size === 0) throw fail(`${file}: weight_map is empty`, again);
  return shards;
}

/**
 * Opens a model folder: checks config.json, the index and the structure of every safetensors file.
 * As transformers does, it takes model.safetensors when that exists, else the shards of the index.
 * @throws Fail (exit 3): what was expected, what was found, what to do
 */
// deno-lint-ignore require-await
export async function openModel(dir: string): Promise<ModelFolder> {
  const names = namesIn(dir, expected);
  const configBytes = readConfig(dir, names);
  const config = parseObject(configBytes, join(dir, "config.json"));
  const generation = bytesIn(dir, "generation_config.json", megabyte);
  const generationConfig = generation &&
    parseObject(generation, join(dir, "generation_config.json"));

  const shardOf = names.includes(single) ? undefined : readIndex(dir);
  if (!shardOf && !names.includes(single)) throw noWeights(dir, names);
  const shardNames = shardOf ? [...new Set(shardOf.values())].sort() : [single];
  const shards = new Map<string, Safetensors>();
  function close(): void {
    for (const shard of shards.values()) shard.close();
  }
  const tensors = new Map<string, ModelTensor>();
  const homes = new Map<string, Safetensors>();
  try {
    for (const name of shardNames) {
      const path = fileIn(dir, name);
      if (path === undefined) {
        const missing = shardNames.filter((n) => !names.includes(n));
        throw fail(
          `${dir}: ${missing.length} of ${shardNames.length} shards are missing: ${
            missing.slice(0, 5).join(", ")
          }`,
          "The download is not complete: fetch the folder again.",
        );
      }
      const shard = openSafetensors(path);
      shards.set(name, shard);
      for (const [tensor, info] of shard.tensors) {
        if (homes.has(tensor)) throw fail(`${dir}: ${tensor} is in two shards`, "Fetch it again.");
        homes.set(tensor, shard);
        tensors.set(tensor, { dtype: info.dtype, shape: info.shape, bytes: info.bytes });
      }
    }
    for (const [tensor, shard] of shardOf ?? []) {
      if (homes.get(tensor) !== shards.get(shard)) {
        throw fail(
          `${join(dir, index)}: ${tensor} is said to be in ${shard}, but is not`,
          "Index and shards do not belong together: fetch the folder again.",
        );
      }
    }
  } catch (error) {
    close();
    throw error;
  }

  function home(name: string): Safetensors {
    const shard = homes.get(name);
    if (!shard) throw fail(`${dir}: there is no tensor ${name}`, "Check that the model is whole.");
    return shard;
  }
  let identity: string | undefined;
  function hash(): string {
    if (identity) return identity;
    const sum = createHash("sha256").update(configBytes);
    for (const [name, shard] of shards) sum.update(name).update(shard.header);
    const all = [...tensors].filter(([, { bytes }]) => bytes > 0);
    const step = Math.ceil(all.length / 512);
    for (let i = 0; i < all.length; i += step) {
      const [name, { bytes }] = all[i]!;
      const from = Math.floor(bytes / 2);
      sum.update(home(name).readBytes(name, from, Math.min(bytes, from + 256)));
    }
    return identity = sum.digest("hex");
  }
  function resolve(name: string): string | undefined {
    const bare = name.replace(/^(model|bert|roberta|transformer)\./, "");
    const names = [
      name,
      bare,
      ...["model", "bert", "roberta", "transformer"].map((p) => `${p}.${bare}`),
    ];
    return names.find((n) => tensors.has(n));
  }
  return {
    dir,
    config,
    generationConfig,
    tensors,
    readBytes: (name, from, to, into) => home(name).readBytes(name, from, to, into),
    readF32: (name, from, to) => home(name).readF32(name, from, to),
    resolve,
    hash,
    close,
    [Symbol.dispose]: close,
  };
}
