/** A long run of a small model as a user starts it, and what it holds in memory meanwhile. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { bare } from "./cli/run.ts";

export interface LongRun {
  readonly code: number;
  readonly steps: number;
  /** Device bytes in buffers at every step, told apart. */
  readonly deviceBytes: readonly number[];
  /** Least resident bytes of the process in each window of steps: after its garbage was collected. */
  readonly resident: readonly number[];
  /** Growth of the above, bytes in 10,000 steps, by least squares over the windows after the first fifth. */
  readonly slope: number;
}

/** Resident bytes of a process on Linux. */
function residentOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]);
}

/** Trains in `dir`, looking at the process at every tenth step. */
export async function longRun(
  dir: string,
  argv: readonly string[],
  window: number,
): Promise<LongRun> {
  const [collecting, main] = [import.meta.path, join(import.meta.dir, "../src/main.ts")];
  const child = Bun.spawn(
    [process.execPath, "--preload", collecting, main, ...argv, "--json", "-o", "long"],
    { cwd: dir, env: { ...bare(), COLLECT: "1" }, stdout: "pipe", stderr: "pipe" },
  );
  const errors = new Response(child.stderr).text();
  const decoder = new TextDecoder(), bytes = new Set<number>(), resident: number[] = [];
  let rest = "", steps = 0;
  for await (const chunk of child.stdout) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const { event, step, mem_bytes } = JSON.parse(line);
      if (event !== "step") continue;
      steps = step;
      bytes.add(mem_bytes);
      if (step % 10 !== 0) continue;
      const at = Math.floor((step - 1) / window);
      resident[at] = Math.min(resident[at] ?? Infinity, residentOf(child.pid));
    }
  }
  const code = await child.exited;
  if (code !== 0) throw new Error(await errors);
  const settled = resident.slice(Math.ceil(resident.length / 5));
  return {
    code,
    steps,
    deviceBytes: [...bytes],
    resident,
    slope: slopeOf(settled) * 10_000 / window,
  };
}

/** Least squares slope of values one apart. */
function slopeOf(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const spread = values.reduce((sum, _, i) => sum + (i - middle) ** 2, 0);
  return values.reduce((sum, v, i) => sum + (i - middle) * (v - mean), 0) / spread;
}

// Preloaded into the process that is looked at: without it, memory follows the collector's moods.
if (process.env.COLLECT) setInterval(() => Bun.gc(true), 500).unref();
