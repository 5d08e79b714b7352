/** What power cuts are tried on, and what must hold after each. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { latestCheckpoint, loadCheckpoint, saveCheckpoint } from "../src/formats/checkpoint.ts";
import {
  cut,
  identity,
  type Operation,
  plant,
  promised,
  record,
  type Recording,
} from "./power_loss.ts";

const memory = "/dev/shm";
/** Where states are planted: in memory if possible, as there are many. */
const dir = fs.mkdtempSync(join(fs.existsSync(memory) ? memory : tmpdir(), "power-"));
export const clean = () => fs.rmSync(dir, { recursive: true, force: true });

function seeded(seed: number): () => number {
  return () => {
    seed = (Math.imul(seed ^ (seed >>> 15), 0x2c1b3c6d) + 0x6d2b79f5) | 0;
    let x = Math.imul(seed ^ (seed >>> 15), seed | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Cuts the power before every operation, `samples` times each, and checks every different state once.
 * Returns what is wrong with them.
 * @param check says what is wrong with a state, given what was promised before the cut
 */
export async function violations(
  recording: Recording,
  samples: number,
  check: (folder: string, promise: string | undefined) => Promise<string | undefined>,
  stopAtFirst = false,
): Promise<{ states: number; distinct: number; wrong: string[] }> {
  const seen = new Set<string>();
  const wrong: string[] = [];
  const random = seeded(1);
  let states = 0;
  for (let at = 0; at <= recording.operations.length; at++) {
    if (stopAtFirst && wrong.length > 0) break;
    for (let i = 0; i < samples; i++, states++) {
      const tree = cut(recording, at, random);
      const promise = promised(recording, at);
      const key = `${promise} ${identity(tree)}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const folder = join(dir, "state");
      plant(tree, folder);
      const problem = await check(folder, promise);
      if (problem) wrong.push(`before operation ${at}: ${problem}`);
      fs.rmSync(folder, { recursive: true });
    }
  }
  return { states, distinct: seen.size, wrong };
}

/** The same recording with some operations left out: a program that forgets them. */
export function without(
  recording: Recording,
  forget: (operation: Operation, i: number) => boolean,
): Recording {
  return { ...recording, operations: recording.operations.filter((o, i) => !forget(o, i)) };
}

let recordings = 0;
/** Records work on a new empty folder. */
export function start(
  work: Parameters<typeof record>[1] extends infer W ? (folder: string) => W : never,
) {
  const folder = join(dir, `recorded-${recordings++}`);
  fs.mkdirSync(folder);
  return record(folder, work(folder));
}

const fill = (value: number) => new Float32Array(700).fill(value);
/** Four checkpoints, with rotation. */
export const saves = () =>
  start((run) => async (promise) => {
    for (let step = 1; step <= 4; step++) {
      const tensor = { w: fill(step), m: fill(step + 0.25), v: fill(step + 0.5) };
      await saveCheckpoint(run, {
        step,
        tensors: new Map([["w", tensor]]),
        cursor: step,
        settings: {},
        dataHash: "",
        history: [],
      }, { keep: 2 });
      promise(String(step));
    }
  });

export async function checkSaves(
  run: string,
  promise: string | undefined,
): Promise<string | undefined> {
  const warnings: string[] = [];
  const path = await latestCheckpoint(run, (warning) => warnings.push(warning));
  if (warnings.length > 0) return `damaged and visible: ${warnings[0]}`;
  if (!path) return promise === undefined ? undefined : `step ${promise} is lost`;
  const { step, tensors } = await loadCheckpoint(path);
  if (step < Number(promise ?? 0)) return `step ${promise} is lost, ${step} is the newest`;
  return tensors.get("w")!.w.every((x) => x === step) ? undefined : "values of another step";
}
