/** Kills whole training runs, as a user starts them, at random moments, and checks what is left. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { noise } from "../kernels/check.ts";
import { readFolder } from "../src/base/folder.ts";
import { latestCheckpoint, loadCheckpoint } from "../src/formats/checkpoint.ts";
import { readRun } from "../src/report/folder.ts";
import { start } from "./cli/run.ts";

export interface RunKills {
  readonly kills: number;
  /** Runs that came to their end. */
  readonly runs: number;
  /** Checkpoints that were printed as saved. */
  readonly acknowledged: number;
  /** Sittings that went on from a checkpoint. */
  readonly resumed: number;
  /** Everything that is not as it should be. */
  readonly wrong: readonly string[];
}

type Printed = Record<string, unknown> & { readonly event: string };

/** Runs one sitting and kills it (SIGKILL) after so many milliseconds. */
async function sitting(dir: string, argv: readonly string[], milliseconds = Infinity) {
  const child = start(argv, dir);
  child.stdin.end();
  const timer = Number.isFinite(milliseconds)
    ? setTimeout(() => child.kill("SIGKILL"), milliseconds)
    : undefined;
  const [text, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  clearTimeout(timer);
  // The last line may be cut by the kill; a whole one is a promise.
  const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n").filter(Boolean);
  const printed = lines.map((line) => JSON.parse(line) as Printed);
  return { printed, err, killed: child.signalCode === "SIGKILL", code: child.exitCode };
}

/** What two runs must agree in to the last bit. */
async function result(out: string): Promise<Record<string, string>> {
  const { manifest, steps, evals } = readRun(out);
  const { tensors } = await loadCheckpoint((await latestCheckpoint(out, () => {}))!);
  const all = {
    status: manifest.status,
    weights: Bun.hash(readFileSync(join(out, "adapter_model.safetensors"))).toString(),
    tensors: [...tensors].map((
      [name, { w, m, v }],
    ) => [name, ...[w, m, v].map((part) => Bun.hash(part).toString())]),
    steps: steps.map(({ step, loss, lr, grad_norm }) => [step, loss, lr, grad_norm]),
    evals: evals.map(({ step, val_loss, best }) => [step, val_loss, best]),
  };
  return Object.fromEntries(
    Object.entries(all).map(([key, value]) => [key, JSON.stringify(value)]),
  );
}

/**
 * Trains in `dir` again and again with `--resume`, killing each sitting after a random time, until so many
 * were killed; whenever a run comes to its end it is compared with one that was left alone.
 * @param argv a training command with --json, without -o
 */
export async function killRuns(
  dir: string,
  argv: readonly string[],
  { kills: wanted, seed }: { readonly kills: number; readonly seed: number },
): Promise<RunKills> {
  const wrong: string[] = [];
  const began = performance.now();
  const whole = await sitting(dir, [...argv, "-o", "whole"]);
  const length = performance.now() - began;
  if (whole.code !== 0) throw new Error(`the run that nobody kills ended with ${whole.err}`);
  const right = await result(join(dir, "whole"));

  const next = noise(seed);
  let kills = 0, runs = 0, resumed = 0, acknowledged = 0, newest = 0, best = 0;
  for (let n = 0, done = false; kills < wanted || !done; n++) {
    const name = `killed-${runs}`, out = join(dir, name);
    const problem = (what: string) => wrong.push(`sitting ${n + 1} of ${name}: ${what}`);
    // Any moment: from before the folder is there until after the last word.
    const after = kills < wanted ? length * (next() + 1) / 2 : Infinity;
    const { printed, err, killed, code } = await sitting(
      dir,
      [...argv, "-o", name, "--resume"],
      after,
    );
    const begun = printed.find(({ event }) => event === "start"),
      from = Number(begun?.resumed_from ?? 0);
    if (begun && from < newest) problem(`went on from ${from}, not ${newest}`);
    if (from > 0) resumed++;
    for (const { event, step, best: isBest } of printed) {
      if (event !== "checkpoint") continue;
      acknowledged++;
      newest = Number(step);
      if (isBest) best = newest;
    }
    const path = await latestCheckpoint(out, (message) => problem(message));
    const left = path ? (await loadCheckpoint(path)).step : 0;
    if (left < newest) problem(`step ${left} is the newest left, ${newest} was printed as saved`);
    if (best > 0) {
      await readFolder(join(out, "checkpoints", `step-${best}`)).catch(() =>
        problem(`the best checkpoint, of step ${best}, is gone or damaged`)
      );
    }
    done = !killed;
    if (killed) {
      kills++;
      continue;
    }
    // The kill may have come between the last file and the end of the process: all is there already.
    const over = code === 2 && err.includes("has all");
    if (code !== 0 && !over) problem(`ended with ${code}: ${err}`);
    else {
      for (const [what, is] of Object.entries(await result(out))) {
        if (is !== right[what]) problem(`other ${what} than of the run that nobody killed`);
      }
    }
    runs++;
    newest = best = 0;
  }
  return { kills, runs, acknowledged, resumed, wrong };
}

/** A short run of the workshop's model that measures and saves often. */
export const trained = (iters: number): string[] => [
  ...["train", "sft", "--json", "-m", ".", "-d", "rows.jsonl", "--val", "val.jsonl"],
  ...["--iters", String(iters), "--lr", "1e-2", "--rank", "2", "--batch", "4"],
  ...["--eval-every", "7", "--save-every", "3", "--keep", "2", "--report-to", "tensorboard,wandb"],
];
