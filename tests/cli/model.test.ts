// Copies in 4 and 8 bits from the command line, and training that starts from them.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start, whet } from "./run.ts";

setDefaultTimeout(300_000);
const folder = mkdtempSync(join(tmpdir(), "whet model ü-"));
afterAll(() => rmSync(folder, { recursive: true }));
cpSync(join(import.meta.dir, "../../models/micro"), join(folder, "model"), { recursive: true });
const rows = Array.from({ length: 8 }, (_, i) => ({ prompt: `count ${i}`, completion: `${i}` }));
writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));

async function ran(...argv: string[]): Promise<Record<string, unknown>[]> {
  const { code, out, err } = await whet([...argv, "--json"], folder);
  expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
  return out.trim().split("\n").map((line) => JSON.parse(line));
}

test.each([
  ["four", ["--quant", "nf4", "--double-quant"], "nf4, double quantisation, of f16"],
  ["eight", ["--quant", "int8"], "int8, of f16"],
])("%s: what is trained on the copy is trained on the model quantised while loading", async (
  name,
  quant,
  type,
) => {
  const [made] = await ran("model", "quantize", "-m", "model", "-o", name, ...quant);
  expect(made).toMatchObject({ path: name, quantised: 28, kept: 10 });
  const size = (dir: string) => statSync(join(folder, dir, "model.safetensors")).size;
  expect(size(name)).toBeLessThan(0.7 * size("model"));

  const [shown] = await ran("model", "show", "-m", name);
  expect(shown!.stored).toEqual([
    { type, tensors: 28, parameters: 786_432 },
    { type: "f16", tensors: 10, parameters: 197_760 },
  ]);

  const losses = async (model: string, ...flags: string[]) => {
    const argv = ["-d", "rows.jsonl", "-o", `run-${name}-${model}`, "--iters", "3", "--seed", "1"];
    const events = await ran("train", "sft", "-m", model, ...argv, ...flags);
    return events.filter(({ event }) => event === "step").map(({ loss }) => loss);
  };
  const copy = await losses(name);
  expect(copy).toHaveLength(3);
  expect(copy).toEqual(await losses("model", ...quant));

  // What is merged with the adapter is a whole model again, and answers as the two did.
  const run = `run-${name}-${name}`, merged = `merged-${name}`;
  await ran("export", run, "-o", merged, "--merge");
  const [whole] = await ran("model", "show", "-m", merged);
  expect(whole!.stored).toEqual([{ type: "f16", tensors: 38, parameters: 984_192 }]);
  const logprobs = async (...flags: string[]) => {
    const { out } = await whet(["score", "-m", ...flags, "--json"], folder, {
      stdin: '{"text":"count 3 and answer with a number"}\n',
    });
    return JSON.parse(out.trim().split("\n").at(-1)!).logprobs as number[];
  };
  const [apart, together] = [await logprobs(name, "-a", run), await logprobs(merged)];
  expect(apart.length).toBeGreaterThan(3);
  // Merged weights are rounded to f16 once more.
  apart.forEach((v, i) => expect(Math.abs(v - together[i]!)).toBeLessThan(0.02));
});

test("a kill at any moment leaves no folder that opens", async () => {
  for (const after of [60, 120, 160, 200, 240, 280]) {
    const argv = ["model", "quantize", "-m", "model", "-o", "killed", "--shard-size", "1MB"];
    const child = start(argv, folder);
    await new Promise((done) => setTimeout(done, after));
    child.kill(9);
    await child.exited;
    const left = readdirSync(folder).filter((name) => name === "killed");
    if (left.length > 0) await ran("model", "show", "-m", "killed");
    rmSync(join(folder, "killed"), { recursive: true, force: true });
  }
});

test("what is wrong is said in a line", async () => {
  const { code, err } = await whet(["model", "quantize", "-m", "model", "-o", "model"], folder);
  expect([code, err.split("\n")[0]]).toEqual([2, "error: model has files in it already [WH0200]"]);
  const plain = ["model", "quantize", "-m", "model", "-o", "x"];
  expect((await whet([...plain, "--quant", "int8", "--double-quant"], folder)).err)
    .toContain("--double-quant: belongs to --quant nf4");
  expect((await whet([...plain, "--shard-size", "5 elephants"], folder)).err)
    .toContain("expected a size such as 5GB");
});
