// Trackers from the command line: what they get, and that they cost a run nothing.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readEvents } from "../../src/trainer/trackers/testing.ts";
import { whet } from "./run.ts";

setDefaultTimeout(300_000);
const folder = mkdtempSync(join(tmpdir(), "whet trackers ü-"));
const at = (name: string) => join(folder, name);
const row = (i: number) =>
  JSON.stringify({ prompt: `count ${i}`, completion: `{"n":${i}}` }) + "\n";
const sft = ["train", "sft", "-m", "model", "-d", "rows.jsonl", "--val", "val.jsonl"];
const short = [...sft, "--batch", "4", "--rank", "4", "--lr", "1e-3", "--scheduler", "constant"];

interface Call {
  readonly path: string;
  readonly body: Record<string, unknown>;
}
const calls: Call[] = [];
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request) {
    const path = new URL(request.url).pathname.replace("/api/2.0/mlflow/", "");
    const body = request.method === "POST" ? await request.json() : {};
    calls.push({ path, body: body as Call["body"] });
    if (path === "experiments/get-by-name") {
      return Response.json({ experiment: { experiment_id: "3", lifecycle_stage: "active" } });
    }
    return Response.json(path === "runs/create" ? { run: { info: { run_id: "r1" } } } : {});
  },
});
const hung = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 0,
  fetch: () => new Promise<Response>(() => {}),
});
afterAll(() => {
  server.stop(true);
  hung.stop(true);
  rmSync(folder, { recursive: true });
});
beforeAll(() => {
  cpSync(join(import.meta.dir, "../../models/micro"), at("model"), { recursive: true });
  writeFileSync(at("rows.jsonl"), Array.from({ length: 12 }, (_, i) => row(i)).join(""));
  writeFileSync(at("val.jsonl"), Array.from({ length: 4 }, (_, i) => row(i + 20)).join(""));
});
const sha = (run: string) => JSON.parse(readFileSync(at(`${run}/run.json`), "utf8")).adapter.sha256;
const events = (run: string) => {
  const dir = at(`${run}/tensorboard`);
  return readdirSync(dir).sort().map((name) => readEvents(readFileSync(join(dir, name))));
};

test("all of them at once, resumed, and the same bytes as without", async () => {
  const mlflow = ["--mlflow-uri", `http://127.0.0.1:${server.port}`, "--experiment", "garden"];
  const to = ["--report-to", "tensorboard,mlflow,wandb", ...mlflow];
  const env = { MLFLOW_TRACKING_TOKEN: "canary-5151" };
  const first = await whet(
    [...short, "-o", "all", "--iters", "3", "--samples", "1", ...to],
    folder,
    {
      env,
    },
  );
  expect({ code: first.code, err: first.code ? first.err : "" }).toEqual({ code: 0, err: "" });
  expect(first.err).toContain("tensorboard  all/tensorboard");
  expect(first.err).toContain(`mlflow  http://127.0.0.1:${server.port}/#/experiments/3/runs/r1`);
  expect(first.err).toMatch(/wandb {2}all\/wandb\/offline-run-/);
  const more = [...short, "-o", "all", "--iters", "6", "--samples", "1", "--resume", ...to];
  const second = await whet(more, folder, { env });
  expect({ code: second.code, err: second.code ? second.err : "" }).toEqual({ code: 0, err: "" });

  const plain = await whet([...short, "-o", "plain", "--iters", "6", "--samples", "0"], folder);
  expect(plain.code).toBe(0);
  expect(sha("all")).toBe(sha("plain"));

  const [one, two] = events("all");
  const steps = (part: typeof one) =>
    part!.filter(({ tag }) => tag === "train/loss").map(({ step }) => step);
  expect([steps(one), steps(two)]).toEqual([[1, 2, 3], [4, 5, 6]]);
  expect(two![1]).toMatchObject({ restart: true, step: 4 });
  const tags = new Set(one!.map(({ tag }) => tag));
  for (const tag of ["train/lr", "train/grad_norm", "eval/val_loss", "eval/ppl", "settings"]) {
    expect(tags).toContain(tag);
  }
  expect([...tags].filter((tag) => tag?.startsWith("samples/"))).toHaveLength(1);
  const gradients = one!.filter(({ tag }) => tag?.startsWith("gradients/"));
  expect(gradients.length).toBeGreaterThan(4);
  expect(gradients.some(({ tag }) => tag?.includes("lora_A"))).toBe(true);
  for (const { histogram } of gradients) expect(histogram!.count).toBeGreaterThan(100);

  expect(calls.filter(({ path }) => path === "runs/create")).toHaveLength(1);
  const sent = calls.flatMap(({ body }) => (body.metrics ?? []) as { key: string; step: number }[]);
  expect(sent.filter(({ key }) => key === "train/loss").map(({ step }) => step)).toEqual([
    1,
    2,
    3,
    4,
    5,
    6,
  ]);
  const states = calls.filter(({ path }) => path === "runs/update").map(({ body }) => body.status);
  expect(states).toEqual(["FINISHED", "RUNNING", "FINISHED"]);
  expect(readdirSync(at("all/wandb"))).toHaveLength(2);

  // The key is nowhere: not in files, not in what was printed.
  const said = first.out + first.err + second.out + second.err;
  expect(said).not.toContain("canary-5151");
  const found = Bun.spawnSync(["grep", "-rlF", "canary-5151", at("all")]);
  expect(found.stdout.toString()).toBe("");
});

test("a server that hangs: one warning, a bounded end, the same bytes", async () => {
  const to = ["--report-to", "mlflow", "--mlflow-uri", `http://127.0.0.1:${hung.port}`];
  const began = performance.now();
  const { code, err } = await whet([
    ...short,
    "-o",
    "hung",
    "--iters",
    "6",
    "--samples",
    "0",
    ...to,
  ], folder);
  const seconds = (performance.now() - began) / 1000;
  expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
  expect(err).toContain("no answer within 10 s");
  expect(err).toMatch(/mlflow: \d+ entries were not delivered/);
  expect(seconds).toBeLessThan(60);
  expect(sha("hung")).toBe(sha("plain"));
  const log = readFileSync(at("hung/metrics.jsonl"), "utf8");
  expect(log.split('"code":"WH0701"').length - 1).toBe(2);
});

test("what cannot be used is refused before anything is written", async () => {
  const cases: [string[], string][] = [
    [["--report-to", "mlflow"], "--report-to mlflow needs a server"],
    [["--report-to", "mlflow", "--mlflow-uri", "x.db"], "MLflow is not reached at x.db"],
    [["--report-to", "mlflow", "--mlflow-uri", "http://x", "--offline"], "exclude each other"],
    [["--report-to", "tensorbord"], "--report-to"],
    [["--report-to", "none,wandb"], "none goes with no other"],
  ];
  for (const [argv, text] of cases) {
    const { code, err } = await whet([...short, "-o", "never", "--iters", "1", ...argv], folder);
    expect([code, err]).toEqual([2, err]);
    expect(err).toContain(text);
  }
  expect(readdirSync(folder)).not.toContain("never");
});
