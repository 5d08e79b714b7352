/** Model folders that hold a low-rank adapter of every matrix for each of several tasks. */
import { createHash } from "node:crypto";
import { Exit, Fail } from "../base/fail.ts";
import { type ModelFolder, type ModelTensor, storedAs } from "./model_folder.ts";

/** The tasks that a checkpoint has adapters for. */
export interface Tasks {
  readonly names: readonly string[];
  /** What stands before a text of each. */
  readonly prompts: Readonly<Record<string, string>>;
  /** What an adapter's product is multiplied with. */
  readonly scale: number;
}

const ORIGINAL = ".parametrizations.weight.original";
const PART = /\.parametrizations\.weight\.0\.lora_[AB]$/;

/**
 * The folder as a plain model: matrices under their own names, with the adapter of a task merged in, or none.
 * Those of linear layers are W + s·B·A with A [tasks, r, in] and B [tasks, out, r], those of tables
 * W + s·A·B with A [tasks, rows, r] and B [tasks, r, width]; computed in float64 and rounded to the type that
 * W is stored in.
 * @throws Fail (data) where an adapter does not fit its matrix
 */
export function withTask(folder: ModelFolder, tasks: Tasks, task: string | undefined): ModelFolder {
  const place = task === undefined ? -1 : tasks.names.indexOf(task);
  const tensors = new Map<string, ModelTensor>(), own = new Map<string, string>();
  for (const [name, info] of folder.tensors) {
    if (PART.test(name)) continue;
    const base = name.endsWith(ORIGINAL) ? name.slice(0, -ORIGINAL.length) : undefined;
    tensors.set(base === undefined ? name : `${base}.weight`, info);
    if (base !== undefined) own.set(`${base}.weight`, base);
  }
  const stored = (name: string) => own.has(name) ? own.get(name)! + ORIGINAL : name;
  // Loading reads a tensor in pieces: the factors of the one that is being read are kept.
  let held: { name: string; left: Float32Array; right: Float32Array; rank: number } | undefined;
  const factors = (name: string) => {
    if (held?.name === name) return held;
    const base = own.get(name)!, [rows, width] = tensors.get(name)!.shape as [number, number];
    const part = (letter: string) => `${base}.parametrizations.weight.0.lora_${letter}`;
    const table = /embeddings$/.test(base), [left, right] = table ? ["A", "B"] : ["B", "A"];
    const shape = (letter: string) => folder.tensors.get(part(letter))?.shape ?? [];
    const rank = shape(right!)[1] ?? 0, n = tasks.names.length;
    if (`${shape(left!)};${shape(right!)}` !== `${[n, rows, rank]};${[n, rank, width]}`) {
      throw new Fail(`${part("A")} and B do not fit ${base}`, {
        why: `they are [${shape("A").join(", ")}] and [${shape("B").join(", ")}], ` +
          `for ${n} tasks and a matrix of ${rows} x ${width}`,
        fix: "fetch the folder again; config.json and the safetensors files must belong together",
        exit: Exit.data,
      });
    }
    const of = (letter: string) => folder.readF32(part(letter), place, place + 1);
    return held = { name, left: of(left!), right: of(right!), rank };
  };
  const readF32 = (name: string, from = 0, to?: number) => {
    const values = folder.readF32(stored(name), from, to);
    if (place < 0 || !own.has(name)) return values;
    const { left, right, rank } = factors(name), width = tensors.get(name)!.shape[1]!;
    const merged = new Float32Array(values.length), row = new Float64Array(width);
    for (let start = 0, at = from; start < values.length; start += width, at++) {
      row.set(values.subarray(start, start + width));
      for (let k = 0; k < rank; k++) {
        const by = tasks.scale * left[at * rank + k]!;
        for (let i = 0; i < width; i++) row[i]! += by * right[k * width + i]!;
      }
      merged.set(row, start);
    }
    return merged;
  };
  const made = storedAs(tensors, readF32);
  const readBytes: ModelFolder["readBytes"] = (name, ...rest) =>
    place >= 0 && own.has(name) ? made(name, ...rest) : folder.readBytes(stored(name), ...rest);
  return {
    ...folder,
    tensors,
    readBytes,
    readF32,
    resolve: (name) => tensors.has(name) ? name : undefined,
    hash: () =>
      task === undefined
        ? folder.hash()
        : createHash("sha256").update(folder.hash()).update(task).digest("hex"),
    [Symbol.dispose]: () => folder.close(),
  };
}

/** @throws Fail (usage) naming the tasks there are, where this is none of them */
export function requireTask(tasks: Tasks | undefined, task: string | undefined): void {
  if (task === undefined || tasks?.names.includes(task)) return;
  if (!tasks) {
    throw new Fail(`--task ${task}: this model has no adapters for tasks`, {
      why: "config.json has no lora_adaptations",
      fix: "leave --task out",
      exit: Exit.usage,
    });
  }
  throw new Fail(`this model has no task ${task}`, {
    why: `it has ${tasks.names.join(", ")}`,
    fix: `--task ${tasks.names[0]}, or --task none for the weights without an adapter`,
    exit: Exit.usage,
  });
}
