// What a run needs, before it is begun: text for people, JSON for programs, and the truth for both.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readRun } from "../../src/report/folder.ts";
import { whet } from "./run.ts";

setDefaultTimeout(300_000);
const folder = mkdtempSync(join(tmpdir(), "whet plan ü-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

beforeAll(() => {
  cpSync(join(import.meta.dir, "../../models/micro"), at("models/micro"), { recursive: true });
  cpSync(at("models/micro"), at("models/other"), { recursive: true });
  const rows = Array.from({ length: 12 }, (_, i) => ({ prompt: `count ${i}`, completion: `${i}` }));
  writeFileSync(at("rows.jsonl"), rows.map((row) => JSON.stringify(row) + "\n").join(""));
});

const model = ["-m", "models/micro"];
const rows = [...model, "-d", "rows.jsonl", "--batch", "4", "--accum", "2"];
/** No driver is found here: what opens a GPU fails. */
const blind = { env: { VK_ICD_FILENAMES: "/none", VK_DRIVER_FILES: "/none" } };
const plan = async (...argv: string[]) => {
  const { code, out, err } = await whet(["plan", ...argv, "--json"], folder, blind);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  return JSON.parse(out);
};

describe("whet plan", () => {
  test("tells people, in 100 columns, without a GPU", async () => {
    const { code, out } = await whet(["plan", ...rows], folder, blind);
    expect(code).toBe(0);
    for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
    expect(out).toMatch(/^Memory\n {2}weights +[\d.]+ MiB {2}[█░]{40}\n/);
    expect(out).toMatch(/\n {2}fits in [\d.]+ GiB: 85 % of [\d.]+ GiB free, says .+\n/);
    expect(out).toMatch(/\n {2}rows +12, \d+ tokens on average, \d+ the longest\n/);
    expect(out).toMatch(/\n {2}batch +4 rows x 2 accumulated = 8 rows a step\n/);
    expect(out).toMatch(/\n {2}computed as +1 micro-batch a step, of 64 token places\n/);
    expect(out).toMatch(/\n {2}steps +6 = 2 an epoch x 3 epochs\n/);
    expect(out).toMatch(/\n {2}blocks +all 4 kept for the backward pass\n/);
  });

  test("tells programs", async () => {
    const answer = await plan(...rows);
    expect(Object.keys(answer.bytes)).toEqual(
      ["weights", "adapter", "gradients", "optimizer", "activations", "scratch", "total"],
    );
    const { total, ...parts } = answer.bytes;
    expect(Object.values<number>(parts).reduce((a, b) => a + b, 0)).toBe(total);
    expect(answer).toMatchObject({
      steps: 6,
      steps_per_epoch: 2,
      rows: 12,
      rows_per_step: 6,
      recompute: false,
      fits: true,
      would_fit: [],
      micro_batch: { tokens: 64 },
      micro_batches_per_step: 1,
    });
    expect(answer.memory.budget_bytes).toBeLessThan(answer.memory.free_bytes);
    expect(answer.flops_per_step).toBeGreaterThan(0);
  });

  test("without rows says what is not known", async () => {
    const answer = await plan(...model, "--max-seq", "200", "--batch", "3");
    expect(answer).toMatchObject({ steps: null, steps_per_epoch: null, rows: null });
    expect(answer.tokens_per_step).toBe(600);
    expect(answer.micro_batch.tokens).toBeGreaterThanOrEqual(200);
    expect(await plan(...model, "--iters", "7")).toMatchObject({ steps: 7, rows: null });
    const { out } = await whet(["plan", ...model, "--max-seq", "200"], folder, blind);
    expect(out).toContain("unknown without -d: planned for rows of 200 tokens");
    expect(out).toMatch(/\n {2}steps +unknown: rows x 3 epochs \/ 8\n/);
  });

  test("is what training does, also where memory is tight", async () => {
    const roomy = await plan(...rows), least = await plan(...rows, "--target-mem", "1MB");
    expect(least.fits).toBe(false);
    const between = Math.floor((roomy.bytes.total + least.bytes.total) / 2);
    const tight = [...rows, "--target-mem", `${between}`];
    const planned = await plan(...tight);
    expect(planned).toMatchObject({ fits: true, recompute: true });
    expect(planned.memory.budget_bytes).toBe(between);
    expect(planned.bytes.total).toBeLessThanOrEqual(between);
    const argv = ["train", "sft", ...tight, "-o", "run", "--iters", "2", "--json"];
    const { code, out, err } = await whet(argv, folder);
    expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
    expect(readRun(at("run")).manifest.computed).toEqual({
      micro_tokens: planned.micro_batch.tokens,
      recomputed_blocks: planned.blocks.recomputed,
      bytes: planned.bytes,
    });
    const step = out.split("\n").map((line) => JSON.parse(line || "{}"))
      .find(({ event }) => event === "step");
    // The planned buffers, and 16 bytes for each set of sizes that the device's kernels want.
    expect(Math.abs(step.mem_bytes - planned.bytes.total)).toBeLessThan(2000);
  });

  test("says what would make it fit, and it does", async () => {
    const { bytes } = await plan(...model, "--target-mem", "1MB", "--rank", "64");
    const budget = `${Math.floor(0.98 * bytes.total)}`;
    const answer = await plan(...model, "--rank", "64", "--target-mem", budget);
    expect(answer.fits).toBe(false);
    expect(answer.would_fit.length).toBeGreaterThan(1);
    for (const { flags, total } of answer.would_fit) {
      const changed = [...model, "--rank", "64", ...flags.split(" ")];
      const better = await plan(...changed, "--target-mem", budget);
      expect(better).toMatchObject({ fits: true, bytes: { total } });
    }
    const argv = ["plan", ...model, "--rank", "64", "--target-mem", budget];
    const { code, out } = await whet(argv, folder, blind);
    expect(code).toBe(0);
    expect(out).toMatch(/\n {2}does not fit in .+\n\n.+ too much\. It would fit with\n {2}--/);
    for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
  });

  test("compares models", async () => {
    const argv = ["plan", "-m", "models", "--table"];
    const { code, out } = await whet(argv, folder, blind);
    expect(code).toBe(0);
    expect(out.split("\n")[0]).toMatch(/^model +quant +weights +adapter .+ total +again$/);
    for (const name of ["micro", "other"]) expect(out).toMatch(new RegExp(`^${name} +full `, "m"));
    for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
    const { out: json } = await whet([...argv, "--json"], folder, blind);
    const table = json.trim().split("\n").map((line) => JSON.parse(line));
    expect(table.map(({ model, full, quant }) => `${model} ${full} ${quant}`)).toEqual(
      ["models/micro", "models/other"].flatMap((name) =>
        ["true none", "false none", "false int8", "false nf4", "false nf4"].map((way) =>
          `${name} ${way}`
        )
      ),
    );
    expect(table[3].bytes.weights).toBeLessThan(table[1].bytes.weights);
    expect(table[0].bytes.optimizer).toBeGreaterThan(10 * table[1].bytes.optimizer);
  });

  test("a probe tells the time, and writes nothing", async () => {
    const before = readdirSync(folder);
    const argv = ["plan", ...rows, "--probe", "--json"];
    const { code, out, err } = await whet(argv, folder);
    expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
    const { probe, steps, bytes } = JSON.parse(out);
    expect(probe.seconds_per_step).toBeGreaterThan(0);
    expect(probe.seconds).toBeCloseTo(probe.seconds_per_step * steps, 6);
    expect(probe.tokens_per_second).toBeGreaterThan(0);
    expect(Math.abs(probe.allocated_bytes - bytes.total)).toBeLessThan(2000);
    expect(readdirSync(folder)).toEqual(before);
  });
});

describe("bad input", () => {
  const cases: [name: string, argv: string[], code: number, err: string[]][] = [
    ["no size", ["--target-mem", "banana"], 2, ["--target-mem", "16GB", "banana"]],
    ["zero", ["--target-mem", "0"], 2, ["--target-mem", "16GB"]],
    ["gigabytes without the unit", ["--target-mem", "16"], 2, ["at least 1MB"]],
    ["less than nothing", ["--target-mem=-8GB"], 2, ["16GB"]],
    ["no micro-batch", ["--micro-tokens", "0"], 2, ["--micro-tokens", "at least 1"]],
    ["two models", ["-m", "models/other"], 2, ["2 models", "--table"]],
    ["a folder of no models", ["-m", "nowhere", "--table"], 3, ["nowhere"]],
  ];
  for (const [name, argv, code, texts] of cases) {
    test(name, async () => {
      const first = argv[0] === "-m" && argv.includes("--table") ? [] : model;
      const ran = await whet(["plan", ...first, ...argv], folder, blind);
      expect([ran.code, ran.err]).toEqual([code, ran.err]);
      for (const text of texts) expect(ran.err).toContain(text);
      expect(ran.err).not.toContain("bug");
    });
  }

  test("far too little memory: plan says no, train refuses before anything is written", async () => {
    expect(await plan(...rows, "--target-mem", "1.5MB")).toMatchObject({
      fits: false,
      would_fit: [],
      memory: { budget_bytes: 15e5 },
    });
    const argv = ["train", "sft", ...rows, "--target-mem", "1.5MB", "-o", "never"];
    for (const more of [[], ["--dry-run"]]) {
      const { code, err } = await whet([...argv, ...more], folder, blind);
      expect(code).toBe(5);
      expect(err).toMatch(/this run needs at least [\d.]+ MiB of memory, it may take 1.43 MiB/);
      expect(err).toMatch(/weights +[\d.]+ MiB/);
      expect(err).toContain("--target-mem 1.5MB");
      expect(existsSync(at("never"))).toBe(false);
    }
  });
});
