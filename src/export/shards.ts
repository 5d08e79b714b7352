/** What every model folder that is written has: shards, their index, and the files beside the weights. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { dtypeBits } from "../base/bits.ts";
import { writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { bytesIn } from "../formats/model_files.ts";
import type { TensorSource } from "../formats/safetensors.ts";

/** Bytes of a shard at most, as transformers has it. */
export const SHARD_BYTES = 5e9;

/** Files beside the weights that make a model folder whole; config.json is written last. */
export const companions = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "vocab.txt",
  "tokenizer.model",
  "chat_template.jinja",
  "chat_template.json",
  "prompt.json",
  "LICENSE",
  "LICENSE.txt",
  "NOTICE",
];
export const largestCompanion = 512 * 2 ** 20;

/** @throws Fail (usage) where a folder is to be written and there is something */
export function requireEmpty(out: string): void {
  const there = statSync(out, { throwIfNoEntry: false });
  if (!there || (there.isDirectory() && readdirSync(out).length === 0)) return;
  throw new Fail(there.isDirectory() ? `${out} has files in it already` : `${out} is a file`, {
    fix: "name a new folder",
    exit: Exit.usage,
  });
}

/** Bytes of a tensor in a file. */
export const sizeOf = ({ dtype, shape }: TensorSource): number =>
  shape.reduce((product, size) => product * size, dtypeBits[dtype] / 8);

/** Items in order, in as few shards as fit. A larger one has a shard of its own. */
export function cutShards<T>(
  items: readonly T[],
  bytesOf: (item: T) => number,
  shardBytes: number,
): T[][] {
  const shards: T[][] = [[]];
  let size = 0;
  for (const item of items) {
    const bytes = bytesOf(item);
    if (size > 0 && size + bytes > shardBytes) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)!.push(item);
    size += bytes;
  }
  return shards;
}

/** The file name of one of `count` shards. */
export function shardName(index: number, count: number): string {
  const number = (n: number) => String(n).padStart(5, "0");
  return count === 1
    ? "model.safetensors"
    : `model-${number(index + 1)}-of-${number(count)}.safetensors`;
}

/** Writes the index of several shards. @returns its name */
export async function writeIndex(
  out: string,
  bytes: number,
  weightMap: Readonly<Record<string, string>>,
): Promise<string> {
  const name = "model.safetensors.index.json";
  const index = { metadata: { total_size: bytes }, weight_map: weightMap };
  await writeFile(join(out, name), JSON.stringify(index, null, 2) + "\n");
  return name;
}

/** Copies what stands beside the weights, each file from the first folder that has it. @returns the names */
export async function copyCompanions(out: string, ...from: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const name of companions) {
    const dir = from.find((dir) => existsSync(join(dir, name)));
    const content = dir === undefined ? undefined : bytesIn(dir, name, largestCompanion);
    if (content === undefined) continue;
    await writeFile(join(out, name), content);
    files.push(name);
  }
  return files;
}
