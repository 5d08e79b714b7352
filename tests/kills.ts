/** Kills a program that does nothing but save checkpoints, at random moments, and checks what is left. */
import { mkdtempSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockFolder } from "../src/base/lock.ts";
import {
  latestCheckpoint,
  loadCheckpoint,
  saveCheckpoint,
  type TrainingState,
} from "../src/formats/checkpoint.ts";

const size = 20_000;

/** A state whose every value tells its step. */
function stateAt(step: number): TrainingState {
  const [w, m, v] = [0, 1, 2].map((part) => new Float32Array(size).fill(step + part / 4));
  return {
    step,
    tensors: new Map([["w", { w: w!, m: m!, v: v! }]]),
    cursor: { row: step },
    settings: {},
    dataHash: "",
    history: Array.from({ length: step % 100 }, () => step),
  };
}

/** The program that gets killed: goes on from the newest checkpoint, and tells each one it has saved. */
async function victim(run: string): Promise<never> {
  using _lock = await lockFolder(run);
  const latest = await latestCheckpoint(run, () => {});
  let step = latest ? (await loadCheckpoint(latest)).step : 0;
  for (;;) {
    await saveCheckpoint(run, stateAt(++step), { keep: 2 });
    writeSync(1, `${step}\n`);
  }
}

export interface Limits {
  readonly kills: number;
  readonly milliseconds: number;
}

export interface Kills {
  readonly kills: number;
  /** Checkpoints that were reported as saved. */
  readonly steps: number;
  /** Kills after which a checkpoint reported as saved was gone. */
  readonly lost: string[];
  /** Kills after which a damaged checkpoint was visible. */
  readonly invalid: string[];
}

/**
 * Starts the victim again and again and kills it (SIGKILL) after a random time, until so many kills or
 * milliseconds have passed.
 */
export async function killsDuringSaves(limits: Limits): Promise<Kills> {
  const run = mkdtempSync(join(tmpdir(), "kills-"));
  try {
    return await killRepeatedly(run, limits);
  } finally {
    rmSync(run, { recursive: true, force: true });
  }
}

async function killRepeatedly(run: string, limits: Limits): Promise<Kills> {
  const began = performance.now();
  const lost: string[] = [], invalid: string[] = [];
  let acknowledged = 0, kills = 0;
  while (kills < limits.kills && performance.now() - began < limits.milliseconds) {
    const child = Bun.spawn(["bun", import.meta.path, run], { stdout: "pipe", stderr: "inherit" });
    const reader = child.stdout.getReader();
    const decoder = new TextDecoder();
    let text = "";
    const first = await reader.read();
    text += decoder.decode(first.value);
    await Bun.sleep(Math.random() * 30);
    child.kill("SIGKILL");
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      text += decoder.decode(value);
    }
    await child.exited;
    if (child.signalCode !== "SIGKILL") throw new Error(`the victim ended by itself: ${text}`);
    kills++;
    // The last line may be cut by the kill; a whole one is a promise.
    const whole = text.slice(0, text.lastIndexOf("\n")).split("\n");
    acknowledged = Math.max(acknowledged, ...whole.map(Number));

    const path = await latestCheckpoint(
      run,
      (message) => invalid.push(`kill ${kills}: ${message}`),
    );
    const { step, tensors, cursor } = path
      ? await loadCheckpoint(path)
      : { ...stateAt(0), step: 0 };
    if (step < acknowledged) lost.push(`kill ${kills}: ${step} is left of ${acknowledged}`);
    const { w, m, v } = tensors.get("w")!;
    const right = w.every((x) => x === step) && m.every((x) => x === step + 0.25) &&
      v.every((x) => x === step + 0.5) && (cursor as { row: number }).row === step;
    if (!right) invalid.push(`kill ${kills}: values of another step in ${path}`);
  }
  return { kills, steps: acknowledged, lost, invalid };
}

if (import.meta.main) await victim(join(process.argv[2]!));
