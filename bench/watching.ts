/**
 * What it costs a run to be watched: the same run alone, and with TensorBoard, W&B, MLflow (a server in
 * this process that takes everything) and the live page (one reader of its events) attached. Runs take
 * turns, each time beginning with the other, so that whatever else the machine does disturbs both; the
 * time of a step is from the word of one step to that of the next, so it holds all that is done between.
 *
 *   bun bench/watching.ts [--model DIR] [--rounds 5] [--steps 100] [--batch 16] [--json]
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dir, "..");
const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: join(root, "models/micro") },
    rounds: { type: "string", default: "5" },
    steps: { type: "string", default: "100" },
    batch: { type: "string", default: "16" },
    json: { type: "boolean", default: false },
  },
});
const rounds = Number(flags.rounds), steps = Number(flags.steps);
/** Steps that are not counted: pipelines are built, buffers touched for the first time. */
const WARM = 10;

const dir = mkdtempSync(join(tmpdir(), "whet-watching-"));
const row = (i: number) =>
  JSON.stringify({ prompt: `count from ${i}`, completion: Array(20).fill(i).join(" ") });
writeFileSync(join(dir, "rows.jsonl"), Array.from({ length: 512 }, (_, i) => row(i)).join("\n"));

/** An MLflow that agrees to everything. */
let asked = 0;
const mlflow = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    asked += (await request.arrayBuffer()).byteLength;
    const { pathname } = new URL(request.url);
    if (pathname.endsWith("experiments/get-by-name")) {
      return Response.json({ experiment: { experiment_id: "1" } });
    }
    if (pathname.endsWith("runs/create")) return Response.json({ run: { info: { run_id: "a" } } });
    return Response.json({});
  },
});

interface Measured {
  /** Milliseconds of each counted step, all that is done between two included. */
  readonly steps: readonly number[];
  /** Processor seconds of the whole process. */
  readonly cpu: number;
  /** Bytes that the page was sent. */
  readonly page: number;
}

async function once(watched: boolean): Promise<Measured> {
  const out = join(dir, "run");
  rmSync(out, { recursive: true, force: true });
  const argv = [
    ...["train", "sft", "--json", "-m", flags.model, "-d", join(dir, "rows.jsonl"), "-o", out],
    ...["--iters", String(steps + WARM), "--batch", flags.batch, "--val-split", "0"],
    ...["--save-every", "100000"],
    ...(watched
      ? ["--report-to", "tensorboard,wandb,mlflow", "--mlflow-uri", mlflow.url.href, "--ui"]
      : []),
  ];
  const child = Bun.spawn([process.execPath, join(root, "src/main.ts"), ...argv], {
    cwd: dir,
    stdout: "pipe",
    stderr: "pipe",
  });
  let told = "", page = 0, reading: Promise<void> | undefined;
  const looked = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) {
      told += decoder.decode(chunk, { stream: true });
      const url = /live page {2}(\S+)/.exec(told)?.[1];
      if (url) reading ??= read(url.replace("/?", "/events?"), (bytes) => page += bytes);
    }
  })();
  const at: number[] = [];
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    const now = performance.now();
    const text = decoder.decode(chunk, { stream: true });
    for (let n = text.split('"event":"step"').length - 1; n > 0; n--) at.push(now);
  }
  await Promise.all([child.exited, looked, reading]);
  if (child.exitCode !== 0 || at.length !== steps + WARM) throw new Error(told);
  if (watched && (page === 0 || asked === 0)) throw new Error(`nobody watched: ${told}`);
  const usage = child.resourceUsage()!;
  return {
    steps: at.slice(WARM).map((now, i) => now - at[WARM + i - 1]!),
    cpu: Number(usage.cpuTime.total) / 1e6,
    page,
  };
}

async function read(url: string, took: (bytes: number) => void): Promise<void> {
  const { body } = await fetch(url);
  for await (const chunk of body!) took(chunk.length);
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

const alone: Measured[] = [], watched: Measured[] = [];
for (let round = 0; round < rounds; round++) {
  for (const who of round % 2 === 0 ? [alone, watched] : [watched, alone]) {
    who.push(await once(who === watched));
  }
  const [a, w] = [alone.at(-1)!, watched.at(-1)!];
  console.error(
    `round ${round + 1}: a step ${mean(a.steps).toFixed(2)} ms alone, ` +
      `${mean(w.steps).toFixed(2)} ms watched; processor ${a.cpu.toFixed(2)} s, ${
        w.cpu.toFixed(2)
      } s`,
  );
}
mlflow.stop(true);
rmSync(dir, { recursive: true });

const best = (all: readonly Measured[], of: (run: Measured) => number) => Math.min(...all.map(of));
const answer = {
  rounds,
  steps,
  // The least disturbed run of each kind, by its mean step; and the typical step of all.
  mean_ms: [alone, watched].map((all) => best(all, (run) => mean(run.steps))),
  median_ms: [alone, watched].map((all) => median(all.flatMap((run) => run.steps))),
  cpu_s: [alone, watched].map((all) => best(all, (run) => run.cpu)),
};
const share = ([a, w]: readonly number[]) => `${(100 * (w! / a! - 1)).toFixed(2)} %`;
if (flags.json) console.log(JSON.stringify(answer));
else {
  console.log(
    `watched costs: mean step ${share(answer.mean_ms)} (best of ${rounds}), ` +
      `median step ${share(answer.median_ms)}, processor time ${
        share(answer.cpu_s)
      } (best of ${rounds})`,
  );
}
