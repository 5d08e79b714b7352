/** Training checkpoints: everything a run needs to go on as if it had never stopped. */
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { allFinite, fromF32 } from "../base/bits.ts";
import { diskFail, makeFolder, rename, requireRoom, syncFolder } from "../base/disk.ts";
import { Exit, Fail } from "../base/fail.ts";
import {
  type Folder,
  inspectFolder,
  latestFolder,
  listFolders,
  otherFormat,
  readFolder,
  removeFolder,
  sweepFolder,
  writeFolder,
} from "../base/folder.ts";
import { openSafetensors, safetensorsChunks, type TensorSource } from "./safetensors.ts";

const weights = "weights.safetensors";
const moments = "moments.safetensors";
const stateName = "state.json";
const prefix = "step";
/** Of what state.json holds. Those of format 1 had no number. */
const format = 2;

/** A trained tensor with AdamW's first and second moments, all of one length. */
export interface TrainedTensor {
  /** A list of its values unless given. */
  readonly shape?: readonly number[];
  readonly w: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
}

/** All but the tensors is JSON; numbers that are not finite are kept too. */
export interface TrainingState {
  /** Optimiser steps done. */
  readonly step: number;
  readonly tensors: ReadonlyMap<string, TrainedTensor>;
  /** Where in the data the run stands: epoch, row, … */
  readonly cursor: unknown;
  readonly settings: unknown;
  readonly dataHash: string;
  readonly history: unknown;
  /** The best measurement so far; its checkpoint is kept. */
  readonly best?: { readonly step: number } | null;
  /** Anything else the caller must find again. */
  readonly extra?: unknown;
}

export interface Saved {
  readonly path: string;
  readonly bytes: number;
  /** Checkpoints removed by rotation. */
  readonly removed: string[];
  /** Checkpoints of later steps, from before the run was resumed at an earlier one: renamed to "old-…". */
  readonly setAside: string[];
}

export interface CheckpointEntry {
  readonly path: string;
  readonly step: number;
  readonly bytes: number;
}

const spelled = (x: number) => ({ "not finite": String(x) });

/** JSON that also keeps NaN and the infinities. Throws TypeError on what would be lost without a word. */
function toJson(value: unknown): string {
  return JSON.stringify(value, (key, x: unknown) => {
    if (typeof x === "number" && !Number.isFinite(x)) return spelled(x);
    if (typeof x === "bigint" || typeof x === "function" || typeof x === "symbol") {
      throw new TypeError(`checkpoint state: ${key} is a ${typeof x}`);
    }
    if (x instanceof Map || x instanceof Set || ArrayBuffer.isView(x)) {
      throw new TypeError(`checkpoint state: ${key} is a ${x.constructor.name}`);
    }
    return x;
  });
}

function fromJson(text: string): unknown {
  return JSON.parse(text, (_, x: unknown) => {
    const isSpelled = typeof x === "object" && x !== null && "not finite" in x;
    return isSpelled ? Number(x["not finite"]) : x;
  });
}

function sources(state: TrainingState, parts: readonly ("w" | "m" | "v")[]): TensorSource[] {
  const all: TensorSource[] = [];
  for (const [name, tensor] of state.tensors) {
    const shape = tensor.shape ?? [tensor.w.length];
    for (const part of parts) {
      const key = part === "w" ? name : `${name}.${part}`;
      if (!allFinite(tensor[part])) {
        throw new Fail(`${key} holds NaN or infinity at step ${state.step}: not saved`, {
          why: "The training diverged. Earlier checkpoints are intact.",
          fix: "Lower the learning rate (--lr) and resume from the last checkpoint (--resume).",
          exit: Exit.diverged,
        });
      }
      all.push({ name: key, dtype: "F32", shape, data: fromF32(tensor[part], "F32") });
    }
  }
  return all;
}

const folderOf = (runDir: string) => join(runDir, "checkpoints");
const sizeOf = (folder: Folder) => [...folder.files.values()].reduce((sum, f) => sum + f.size, 0);

/** The checkpoints of a run whose manifests are sound, newest first; their files are not read. */
export function listCheckpoints(runDir: string): CheckpointEntry[] {
  const found: CheckpointEntry[] = [];
  for (const { path, number: step } of listFolders(folderOf(runDir), prefix)) {
    try {
      found.push({ path, step, bytes: sizeOf(inspectFolder(path)) });
    } catch (error) {
      if (!(error instanceof Fail)) throw error;
    }
  }
  return found;
}

/** A name for this step that is free: what is there already is never overwritten. */
function freePath(parent: string, step: number): string {
  let path = join(parent, `${prefix}-${step}`);
  for (let again = 2; existsSync(path); again++) path = join(parent, `${prefix}-${step}-${again}`);
  return path;
}

async function setAsideLater(runDir: string, step: number): Promise<string[]> {
  const later = listCheckpoints(runDir).filter((entry) => entry.step > step);
  for (const { path } of later) {
    const unique = crypto.randomUUID().slice(0, 8);
    await rename(path, join(dirname(path), `old-${basename(path)}-${unique}`));
  }
  if (later.length > 0) await syncFolder(folderOf(runDir));
  return later.map(({ path }) => path);
}

/**
 * Saves a checkpoint under `runDir/checkpoints/step-<n>`, reads it back and verifies it, and only then
 * removes older ones: the `keep` newest (at least 2) and the best stay. Damaged folders are left alone.
 * The same state gives the same bytes. The caller holds the lock of `runDir`.
 * @throws Fail (exit 12) when the disk refuses, (exit 6) when a tensor is not finite; older checkpoints
 * are then as they were
 */
export async function saveCheckpoint(
  runDir: string,
  state: TrainingState,
  options: { readonly keep?: number } = {},
): Promise<Saved> {
  const parent = folderOf(runDir);
  const { tensors: _, ...rest } = state;
  const json = toJson(rest);
  const trained = sources(state, ["w"]);
  const optimiser = sources(state, ["m", "v"]);
  const needed = [...trained, ...optimiser].reduce(
    (sum, t) => sum + (t.data as Uint8Array).length,
    0,
  );
  try {
    await makeFolder(parent);
    await sweepFolder(parent);
  } catch (error) {
    throw diskFail(error, parent);
  }
  requireRoom(parent, needed + json.length + 2 ** 20, `a checkpoint at step ${state.step}`);
  const path = freePath(parent, state.step);
  const written = await writeFolder(path, async (put) => {
    await put(weights, safetensorsChunks(trained, { format: "pt" }));
    await put(moments, safetensorsChunks(optimiser));
    await put(stateName, json);
    return { kind: "checkpoint", format, step: state.step };
  });
  await readFolder(path);

  const setAside = await setAsideLater(runDir, state.step);
  const removed: string[] = [];
  const kept = new Set<string>([path]);
  const entries = listCheckpoints(runDir);
  for (const entry of entries.slice(0, Math.max(2, options.keep ?? 3))) kept.add(entry.path);
  const best = entries.find((entry) => entry.step === state.best?.step);
  if (best) kept.add(best.path);
  for (const entry of entries) {
    if (kept.has(entry.path)) continue;
    await removeFolder(entry.path);
    removed.push(entry.path);
  }
  return { path, bytes: sizeOf(written), removed, setAside };
}

/** The newest checkpoint of a run that passes every check, or undefined. Damaged ones are reported. */
export async function latestCheckpoint(
  runDir: string,
  warn: (message: string) => void,
): Promise<string | undefined> {
  return (await latestFolder(folderOf(runDir), prefix, warn))?.path;
}

/**
 * Loads a checkpoint after verifying every byte of it.
 * @param path a folder `…/checkpoints/step-<n>`
 * @throws Fail (exit 12) when it is damaged, no checkpoint, or written by another version of whet
 */
export async function loadCheckpoint(path: string): Promise<TrainingState> {
  const { meta, files } = await readFolder(path);
  const noted = meta as { kind?: unknown; format?: unknown } | null;
  const isCheckpoint = noted?.kind === "checkpoint";
  if (!isCheckpoint || ![weights, moments, stateName].every((name) => files.has(name))) {
    throw new Fail(`${path}: this is not a checkpoint`, {
      fix: "Give a folder OUT/checkpoints/step-<n>, or --resume alone for the newest.",
      exit: Exit.disk,
    });
  }
  if (noted.format !== format) throw otherFormat(path, noted.format ?? 1, format);
  using w = openSafetensors(join(path, weights));
  using mv = openSafetensors(join(path, moments));
  const tensors = new Map<string, TrainedTensor>();
  for (const [name, { shape }] of w.tensors) {
    const [m, v] = [mv.readF32(`${name}.m`), mv.readF32(`${name}.v`)];
    tensors.set(name, { shape, w: w.readF32(name), m, v });
  }
  const rest = fromJson(readFileSync(join(path, stateName), "utf8")) as Omit<
    TrainingState,
    "tensors"
  >;
  return { ...rest, tensors };
}
