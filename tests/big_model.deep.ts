// A model of Phi-2's shape, 2.78 billion parameters, from the command line: planned, copied in 4 bits, and one
// QLoRA step of 256 tokens on each. Prints what it took.
import { afterAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { humanBytes, humanSeconds } from "../src/base/text.ts";
import { bare, start } from "./cli/run.ts";

const folder = mkdtempSync(join(tmpdir(), "whet-big-"));
afterAll(() => rmSync(folder, { recursive: true }));
const { bavail, bsize } = statfsSync(folder);
const enough = bavail * bsize >= 12e9 && totalmem() >= 15e9;
const device = enough ? await testDevice() : undefined;
if (!enough) {
  console.warn("SKIPPED a model of 2.78 billion parameters: it takes 12 GB of disk, 15 of memory");
}

const MINUTE = 60_000;
const hostBytes = (pid: number): number => {
  const status = `/proc/${pid}/status`;
  if (!existsSync(status)) return 0;
  try {
    return Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync(status, "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0; // it ended in between
  }
};

interface Ran {
  readonly events: readonly Record<string, unknown>[];
  /** Seconds from the start at which each line came. */
  readonly at: readonly number[];
  /** The most memory the process had had when each line came; 0 where the system does not say. */
  readonly peaks: readonly number[];
  readonly seconds: number;
}

/** Runs whet with --json to its end. */
async function ran(...argv: string[]): Promise<Ran> {
  const began = performance.now(), seconds = () => (performance.now() - began) / 1000;
  const child = start([...argv, "--json"], folder);
  child.stdin.end();
  const err = new Response(child.stderr).text();
  const events: Record<string, unknown>[] = [], at: number[] = [], peaks: number[] = [];
  let text = "";
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (text + chunk).split("\n");
    text = lines.pop()!;
    for (const line of lines) {
      events.push(JSON.parse(line));
      at.push(seconds());
      peaks.push(hostBytes(child.pid));
    }
  }
  const code = await child.exited;
  expect({ code, err: code ? await err : "" }).toEqual({ code: 0, err: "" });
  return { events, at, peaks, seconds: seconds() };
}

test.skipIf(!device)("Phi-2's shape", async () => {
  const maker = Bun.spawn(
    [process.execPath, join(import.meta.dir, "../scripts/random_model.ts"), "phi-2", "phi"],
    { cwd: folder, env: bare(), stderr: "ignore" },
  );
  expect(await maker.exited).toBe(0);
  const row = { prompt: `count ${"abc ".repeat(30)}`, completion: "x".repeat(120) };
  writeFileSync(join(folder, "rows.jsonl"), JSON.stringify(row));

  const made = await ran("model", "quantize", "-m", "phi", "-o", "phi-nf4", "--double-quant");
  const { before, bytes, seconds } = made.events[0] as Record<string, number>;
  console.log(
    `quantised ${humanBytes(before!)} to ${humanBytes(bytes!)} in ${humanSeconds(seconds!)}: ${
      humanBytes(before! / seconds!)
    }/s, peak memory ${humanBytes(made.peaks[0]!)}`,
  );
  // 4 bits and 1/64 byte of scales for 2.5 billion weights, 16 bits for 263 million.
  expect(bytes! / (2_516_582_400 * (1 / 2 + 1 / 64) + 263_101_440 * 2)).toBeCloseTo(1, 2);
  expect(statSync(join(folder, "phi-nf4/model.safetensors")).size).toBeGreaterThan(bytes!);
  expect(made.peaks[0]!).toBeLessThan(1e9);

  const nf4 = ["--quant", "nf4", "--double-quant"];
  const common = ["-d", "rows.jsonl", "--max-seq", "256", "--batch", "1", "--iters", "1"];
  const where = device!.capabilities.software ? ["--device", "software"] : [];
  const losses: unknown[] = [];
  for (const [model, quant] of [["phi", nf4], ["phi-nf4", []]] as const) {
    const plan = await ran("plan", "-m", model, ...common, ...quant);
    const planned = plan.events.at(-1)!.bytes as Record<string, number>;
    expect(planned.total!).toBeLessThan(3.2e9);
    const run = await ran(
      "train",
      "sft",
      "-m",
      model,
      "-o",
      `run-${model}`,
      ...common,
      ...quant,
      ...where,
    );
    const index = run.events.findIndex(({ event }) => event === "step"), step = run.events[index]!;
    const begun = run.at[run.events.findIndex(({ event }) => event === "start")]! - plan.seconds;
    const allocated = step.mem_bytes as number;
    console.log(
      `${model}: ready after ${humanSeconds(begun)} (${
        humanBytes((model === "phi" ? before! : bytes!) / begun)
      }/s read), a step of 256 tokens in ${humanSeconds(step.ms as number / 1000)}; planned ${
        humanBytes(planned.total!)
      }, allocated ${humanBytes(allocated)}, peak memory of the process ${
        humanBytes(run.peaks[index]!)
      }`,
    );
    expect(Math.abs(allocated / planned.total! - 1)).toBeLessThan(0.01);
    // A software device's buffers are in the process. Above them are the program, pieces of weights, and
    // once what learns, read back after the step to be told about.
    const { adapter, gradients, optimizer } = planned;
    if (run.peaks[index]! > 0 && device!.capabilities.software) {
      expect(run.peaks[index]! - allocated).toBeLessThan(
        512 * 2 ** 20 + adapter! + gradients! + optimizer!,
      );
    }
    expect(step.loss).toBeGreaterThan(1);
    expect(step.grad_norm).toBeGreaterThan(0);
    losses.push(step.loss);
    expect(existsSync(join(folder, `run-${model}/adapter_model.safetensors`))).toBe(true);
  }
  expect(losses[1]).toBe(losses[0]);
}, 60 * MINUTE);
