import { join } from "node:path";
import { type Dtype, dtypeBits, fromF32 } from "../base/bits.ts";
import { writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { bytesIn } from "../formats/model_files.ts";
import type { ModelFolder } from "../formats/model_folder.ts";
import type { Adapter } from "../formats/peft.ts";
import { type TensorSource, writeSafetensors } from "../formats/safetensors.ts";
import { turn } from "../formats/turned_folder.ts";
import {
  copyCompanions,
  cutShards,
  largestCompanion,
  requireEmpty,
  SHARD_BYTES,
  shardName,
  sizeOf,
  writeIndex,
} from "./shards.ts";
import { checkRange, isAdapted, mergeAdapter, rowRanges } from "./weights.ts";

const copyPiece = 64 * 2 ** 20;

export interface MergeOptions {
  readonly model: ModelFolder;
  readonly adapter: Adapter;
  /** A folder that does not exist yet, or is empty. */
  readonly out: string;
  /** Where the tokenizer files are, the model's folder by default. */
  readonly tokenizerDir?: string;
  /** Bytes of a shard at most, 5 GB as transformers has it. */
  readonly shardBytes?: number;
  readonly onProgress?: (progress: { done: number; total: number; tensor: string }) => void;
}

export interface MergeResult {
  readonly path: string;
  /** Bytes of all tensors. */
  readonly bytes: number;
  /** Names of the files, in the order they were written. */
  readonly files: readonly string[];
}

const floats: ReadonlySet<Dtype> = new Set(["F32", "F16", "BF16"]);

/** Tensors of a merged model: adapted ones computed, the others copied byte for byte. */
function mergedTensors({ model, adapter, onProgress }: MergeOptions): TensorSource[] {
  const merged = mergeAdapter(model, adapter);
  const total = [...model.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  return [...model.tensors].map(([name, { dtype, shape, bytes }]) => {
    const adapted = isAdapted(adapter, name), turns = model.turned?.(name) === true;
    if (adapted && !floats.has(dtype)) {
      throw new Fail(`${name} is ${dtype}: an adapter is merged into F32, F16 or BF16`, {
        exit: Exit.data,
      });
    }
    function* pieces(): Generator<Uint8Array> {
      if (!adapted) {
        for (let from = 0; from < bytes; from += copyPiece) {
          yield model.readBytes(name, from, Math.min(bytes, from + copyPiece));
        }
        return;
      }
      for (const [from, to] of rowRanges(shape)) {
        const values = merged.readF32(name, from, to);
        checkRange(name, values, dtype.toLowerCase());
        yield fromF32(values, dtype as "F32" | "F16" | "BF16");
      }
    }
    function* data(): Generator<Uint8Array> {
      for (const piece of turns ? [turnedBack(pieces(), shape, dtype)] : pieces()) {
        yield piece;
        done += piece.length;
        onProgress?.({ done, total, tensor: name });
      }
    }
    return { name, dtype, shape: turns ? shape.toReversed() : shape, data };
  });
}

/** A matrix as the files of its family have it, [in, out]. */
function turnedBack(
  pieces: Iterable<Uint8Array>,
  [rows, columns]: readonly number[],
  dtype: Dtype,
): Uint8Array {
  return turn(Buffer.concat([...pieces]), rows!, columns!, dtypeBits[dtype] / 8);
}

/**
 * Writes the model with the adapter merged in as a Hugging Face folder: the same names, shapes and
 * types, W + scaling · B · A computed in float32 or better and rounded once, tokenizer and licence
 * files copied. Weights stream; a model above `shardBytes` is cut into shards with an index.
 *
 * config.json comes last: a folder without it is not a model, so what a crash leaves is not one.
 * @throws Fail when `out` has files in it, the adapter does not fit, or a value leaves its type's range
 */
export async function exportMerged(options: MergeOptions): Promise<MergeResult> {
  const { model, out, tokenizerDir = model.dir, shardBytes = SHARD_BYTES } = options;
  requireEmpty(out);
  const tensors = mergedTensors(options);
  const shards = cutShards(tensors, sizeOf, shardBytes);
  const bytes = tensors.reduce((sum, tensor) => sum + sizeOf(tensor), 0);
  const files: string[] = [];
  const weightMap: Record<string, string> = {};
  for (const [index, shard] of shards.entries()) {
    const name = shardName(index, shards.length);
    await writeSafetensors(join(out, name), shard);
    for (const tensor of shard) weightMap[tensor.name] = name;
    files.push(name);
  }
  if (shards.length > 1) files.push(await writeIndex(out, bytes, weightMap));
  files.push(...await copyCompanions(out, tokenizerDir, model.dir));
  // What was merged is no longer quantised; else the file stays as it is.
  const { quantization_config, ...config } = model.config;
  const content = quantization_config === undefined
    ? bytesIn(model.dir, "config.json", largestCompanion)
    : JSON.stringify(config, null, 2) + "\n";
  if (content !== undefined) {
    await writeFile(join(out, "config.json"), content);
    files.push("config.json");
  }
  return { path: out, bytes, files };
}
