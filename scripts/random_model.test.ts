import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openModel } from "../src/architectures/model.ts";
import { loadTokenizer } from "../src/text/tokenizer.ts";

setDefaultTimeout(60_000);
const folder = mkdtempSync(join(tmpdir(), "whet-random-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function make(...argv: string[]) {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "random_model.ts"), ...argv], {
    cwd: folder,
    stdout: "ignore",
    stderr: "pipe",
  });
  return { err: await new Response(child.stderr).text(), code: await child.exited };
}

test("a whole model folder in shards: shape, spread and tokenizer; same seed, same weights", async () => {
  for (const [dir, seed] of [["a", "1"], ["b", "1"], ["c", "2"]] as const) {
    const argv = ["smollm-135m", dir, "--layers", "1", "--shard-mb", "8", "--seed", seed];
    expect(await make(...argv)).toMatchObject({ code: 0 });
  }
  const [a, b, c] = await Promise.all(["a", "b", "c"].map((dir) => openModel(join(folder, dir))));
  expect(a!.sizes).toMatchObject({ vocab: 49_152, width: 576, heads: 9, kvHeads: 3, layers: 1 });
  expect(readdirSync(join(folder, "a")).filter((name) => name.endsWith(".safetensors")).length)
    .toBeGreaterThan(1);
  const name = "model.layers.0.mlp.up_proj.weight", other = "model.layers.0.mlp.gate_proj.weight";
  const weights = a!.folder.readF32(name);
  expect(b!.folder.readBytes(name)).toEqual(a!.folder.readBytes(name));
  expect(c!.folder.readBytes(name)).not.toEqual(a!.folder.readBytes(name));
  expect(a!.folder.readBytes(other)).not.toEqual(a!.folder.readBytes(name));
  const n = weights.length, mean = weights.reduce((sum, x) => sum + x, 0) / n;
  const deviation = Math.sqrt(weights.reduce((sum, x) => sum + (x - mean) ** 2, 0) / n);
  // A million draws: the standard errors are 2e-5 and 1.5e-5.
  expect(Math.abs(mean)).toBeLessThan(2e-4);
  expect(Math.abs(deviation - 0.02)).toBeLessThan(2e-4);
  const norm = a!.folder.readF32("model.norm.weight");
  expect(Math.abs(norm.reduce((sum, x) => sum + x, 0) / norm.length - 1)).toBeLessThan(0.005);
  const tokenizer = await loadTokenizer(join(folder, "a"));
  const text = "Grüße, 世界\n";
  expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  for (const model of [a, b, c]) model!.folder.close();
});

test.each([
  [["nonesuch", "x"], "there is no shape nonesuch"],
  [["phi-2"], "shapes: smollm-135m"],
  [["phi-2", "x", "--layers", "two"], '--layers takes a whole number above 0, not "two"'],
  [["phi-2", "."], "is not empty"],
])("refuses %j", async (argv, said) => {
  const { code, err } = await make(...argv);
  expect(code).toBe(2);
  expect(err).toContain(said);
});
