// whet bench as people and programs call it, with settings so small that it takes seconds.
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchResult } from "../../src/commands/bench/results.ts";
import { testDevice } from "../../kernels/check.ts";
import { whet } from "./run.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "whet-bench-"));
afterAll(() => rmSync(folder, { recursive: true }));
const micro = join(import.meta.dir, "../../models/micro");
const hasDevice = await testDevice() !== undefined;
const onDevice = hasDevice ? test : test.skip;

async function json(...argv: string[]): Promise<BenchResult> {
  const { code, out, err } = await whet(["bench", "--json", ...argv], folder);
  expect({ code, err: code === 0 ? "" : err }).toEqual({ code: 0, err: "" });
  expect(out.trim().split("\n")).toHaveLength(1);
  return JSON.parse(out) as BenchResult;
}

describe("whet bench", () => {
  onDevice("kernels: one JSON object, every form and type, shares of a named device", async () => {
    const { kind, format, device, roofline, kernels } = await json(
      ...["--shapes", "64x96x128", "--rounds", "3", "--roofline", "rtx 4090"],
    );
    expect({ kind, format, roof: roofline.name }).toEqual({
      kind: "kernels",
      format: 1,
      roof: "RTX 4090",
    });
    expect(roofline.flops / 82.6e12).toBeCloseTo(1, 2);
    expect(device.adapter.length).toBeGreaterThan(0);
    const types = ["f32", "f16", "bf16", "int8", "nf4", "nf4_double"];
    expect(kernels!.map((k) => k.name)).toEqual([
      ...types.map((type) => `matmul nt ${type}`),
      ...types.map((type) => `matmul nn ${type}`),
      "matmul tn f32",
    ]);
    for (const k of kernels!) {
      expect(k.n).toBe(3);
      expect(k.best_s).toBeGreaterThan(0);
      expect(k.median_s).toBeGreaterThanOrEqual(k.best_s);
      expect(k.flops_s! * k.median_s).toBeCloseTo(2 * 64 * 96 * 128, 3);
      const shortest = Math.max(
        2 * 64 * 96 * 128 / roofline.flops,
        k.bytes_s * k.median_s / 1008e9,
      );
      expect(k.share).toBeCloseTo(shortest / k.median_s, 12);
      expect(k.files.length).toBeGreaterThan(0);
    }
    const bytes = (name: string) => {
      const k = kernels!.find((k) => k.name === name)!;
      return Math.round(k.bytes_s * k.median_s);
    };
    // a, y and b: 4 bytes a number, 2, or half a byte and a scale for each 64.
    expect(bytes("matmul nt f32")).toBe(4 * (64 * 128 + 64 * 96 + 96 * 128));
    expect(bytes("matmul nt f16")).toBe(4 * (64 * 128 + 64 * 96) + 2 * 96 * 128);
    expect(bytes("matmul nt nf4")).toBe(4 * (64 * 128 + 64 * 96) + 96 * 128 * (1 / 2 + 4 / 64));
  });

  onDevice("kernels without subgroups are other kernels", async () => {
    const files = async (...more: string[]) =>
      (await json("--shapes", "512x512x512", "--rounds", "1", ...more)).kernels!.map((k) =>
        k.files
      );
    const { device } = await json("--shapes", "8x8x8", "--rounds", "1");
    const portable = await files("--portable");
    expect(portable.flat().filter((file) => /subgroup|broadcast/.test(file))).toEqual([]);
    if (device.subgroupSize === 8) expect(await files()).not.toEqual(portable);
  });

  onDevice("training: saved, and compared with what was saved", async () => {
    const argv = ["-m", micro, "--train", "--steps", "2", "--tokens", "32", "--roofline", "H200"];
    const { training, kind } = await json(...argv, "--save", "kept");
    expect(kind).toBe("training");
    const { step_s, tokens_s, tokens_per_step, flops_per_step, utilisation } = training!;
    expect({ n: step_s.n, tokens: tokens_per_step }).toEqual({ n: 2, tokens: 32 });
    expect(tokens_s * step_s.median).toBeCloseTo(32, 6);
    expect(utilisation).toBeCloseTo(flops_per_step / step_s.median / 66.9e12, 12);
    expect(Math.abs(training!.planned_bytes / training!.allocated_bytes - 1)).toBeLessThan(0.01);
    if (training!.ops) {
      expect(training!.ops.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 6);
      expect(training!.ops.map(({ op }) => op)).toContain("attention_backward");
    }
    const names = readdirSync(join(folder, "kept")).sort();
    expect(names).toHaveLength(2);
    expect(names[0]).toMatch(/^[a-z0-9-]+-[\d.a-z]+-\d{4}-\d\d-\d\d-training-micro\.json$/);
    const saved = join("kept", names[0]!);
    expect(JSON.parse(readFileSync(join(folder, saved), "utf8")).training).toEqual(training);
    expect(readFileSync(join(folder, "kept", names[1]!), "utf8")).toContain("| speed |");

    const { compared, training: again } = await json(...argv, "--compare", saved);
    expect(compared!.ratios).toEqual([
      { name: "training tokens/s", ratio: again!.tokens_s / tokens_s },
    ]);
  });

  onDevice("generation: exactly the tokens asked for, first token and gaps", async () => {
    const { generation } = await json(
      ...["-m", micro, "--prompt", "12", "--max-tokens", "6", "--requests", "2"],
    );
    expect(generation).toMatchObject({ prompt_tokens: 12, answer_tokens: 6, requests: 2 });
    expect(generation!.first_token_s).toBeGreaterThan(0);
    expect(generation!.token_p95_s).toBeGreaterThanOrEqual(generation!.token_p50_s);
    expect(generation!.decode_tokens_s).toBeGreaterThan(0);
  });

  test.each([
    [["--roofline", "RTX 4091"], 2, 'the peaks of "RTX 4091" are not known', "RTX 4090, RTX 5080"],
    [["--shapes", "12x13"], 2, '"12x13" is no size of a matrix product', "1,048,576"],
    [["--train"], 2, "--train", "-m DIR"],
    [["-m", "nowhere", "--train"], 3, "nowhere: there is no such folder", "config.json"],
    [["-m", micro, "--tokens", "64"], 2, "--tokens", "belongs to --train"],
    [["-m", micro, "--shapes", "8x8x8"], 2, "--shapes", "leave --model out"],
    [["--only", "matmull"], 2, "--only", "matmul"],
    [["--compare", "nothing.json"], 3, "nothing.json is not a result of whet bench", "--save"],
  ])("refuses %j", async (argv, code, what, hint) => {
    const ran = await whet(["bench", ...argv], folder);
    expect({ code: ran.code, out: ran.out }).toEqual({ code, out: "" });
    expect(ran.err).toContain(what);
    expect(ran.err).toContain(hint);
  });

  onDevice("refuses a prompt that the model cannot hold", async () => {
    const ran = await whet(
      ["bench", "-m", micro, "--prompt", "2040", "--max-tokens", "20"],
      folder,
    );
    expect(ran.code).toBe(2);
    expect(ran.err).toContain("its context is 2048 tokens");
  });

  test("refuses a file that is something else, and says where", async () => {
    const path = join(folder, "other.json");
    writeFileSync(path, '{"format":1,"date":"x","device":{}}');
    const ran = await whet(["bench", "--compare", path], folder);
    expect(ran.code).toBe(3);
    expect(ran.err).toContain("device.adapter");
  });
});
