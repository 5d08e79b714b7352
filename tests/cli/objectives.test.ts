// What is trained and how, asked for on the command line: what it does, what it records, what is refused.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readRun } from "../../src/report/folder.ts";
import { whet } from "./inside.ts";

setDefaultTimeout(300_000);
const folder = mkdtempSync(join(tmpdir(), "whet-objectives-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

beforeAll(() => {
  cpSync(join(import.meta.dir, "../../models/micro"), at("model"), { recursive: true });
  const row = (i: number) => {
    const completion = `<reasoning>after ${i - 1}</reasoning> ${i}.`;
    return JSON.stringify({ prompt: `count ${i}`, completion }) + "\n";
  };
  const rows = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => row(from + i)).join("");
  writeFileSync(at("rows.jsonl"), rows(0, 12));
  writeFileSync(at("val.jsonl"), rows(12, 16));
});

const basic = ["train", "sft", "-m", "model", "-d", "rows.jsonl", "--val", "val.jsonl"];
const sft = [...basic, "--iters", "3", "--batch", "4", "--rank", "4", "--samples", "0"];

async function trained(out: string, ...flags: string[]) {
  const { code, out: text, err } = await whet([...sft, ...flags, "-o", out, "--json"], folder);
  expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
  const events = text.trim().split("\n").map((line) => JSON.parse(line));
  const of = (kind: string) => events.filter(({ event }) => event === kind);
  return {
    losses: of("step").map(({ loss }) => loss as number),
    baseline: of("eval")[0].val_loss as number,
    warned: of("warn"),
    manifest: readRun(at(out)).manifest,
  };
}

test("options change the training loss, not what is measured, and a repeated run has the same bytes", async () => {
  const plain = await trained("plain");
  const ways = [
    ["--loss-on", "all"],
    ["--no-mask-prompt"],
    ["--loss-on", "section:reasoning=.5"],
    ["--label-smoothing", "0.2"],
    ["--neftune-alpha", "15"],
  ];
  const found = [];
  for (const [i, way] of ways.entries()) found.push(await trained(`way-${i}`, ...way));
  for (const { losses, baseline } of found) {
    expect(losses[0]).not.toBe(plain.losses[0]!);
    expect(baseline).toBe(plain.baseline);
  }
  expect(found[1]!.losses).toEqual(found[0]!.losses);
  expect(found[1]!.manifest.settings).toMatchObject({ loss_on: "all", mask_prompt: false });
  const args = JSON.parse(readFileSync(at("way-3/training_args.json"), "utf8"));
  expect(args).toMatchObject({ label_smoothing_factor: 0.2, neftune_noise_alpha: null });
  expect(JSON.parse(readFileSync(at("way-1/training_args.json"), "utf8")).completion_only_loss)
    .toBe(false);

  const again = await whet(["train", "--config", "way-2/run.json", "-o", "again"], folder);
  expect(again).toMatchObject({ code: 0 });
  expect(again.err + again.out).toContain("the same bytes as way-2");
});

test("chosen layers and faster B matrices: the adapter says which, PEFT's names", async () => {
  const flags = ["--layers", "-2", "--loraplus-ratio", "16", "--scheduler", "wsd"];
  const { manifest } = await trained("layers", ...flags, "--lr-decay-shape", "1-sqrt");
  const decay = { lr_decay: 0.1, lr_decay_shape: "1-sqrt" };
  expect(manifest.settings).toMatchObject({ layers: "-2", loraplus_ratio: 16, ...decay });
  const config = JSON.parse(readFileSync(at("layers/adapter_config.json"), "utf8"));
  expect(config.layers_to_transform).toEqual([2, 3]);
  const evaluated = ["eval", "-m", "model", "-a", "layers", "-d", "val.jsonl", "--max-tokens", "1"];
  expect(await whet(evaluated, folder)).toMatchObject({ code: 0 });
});

async function perplexity(model: string, ...flags: string[]): Promise<number> {
  const asked = ["eval", "-m", model, "-d", "val.jsonl", "--max-tokens", "1", "--json", ...flags];
  const { code, out, err } = await whet(asked, folder);
  expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
  return JSON.parse(out.trimEnd().split("\n").at(-1)!).perplexity;
}

test("DoRA: trained, evaluated on bases of all kinds, merged, resumed", async () => {
  const flags = ["--use-dora", "--lr", "5e-3", "--target", "q_proj,down_proj"];
  const far = (p: number, loss: number) => Math.abs(Math.log(p) - loss);
  for (const quant of ["none", "nf4"]) {
    const name = `dora-${quant}`;
    const { baseline, manifest } = await trained(name, ...flags, "--quant", quant);
    expect(manifest.best!.val_loss).toBeLessThan(baseline - 0.01);
    const there = await perplexity("model", "-a", name, "--quant", quant);
    expect(far(there, manifest.best!.val_loss)).toBeLessThan(1e-4);
  }
  const config = JSON.parse(readFileSync(at("dora-none/adapter_config.json"), "utf8"));
  expect(config.use_dora).toBe(true);
  const { best } = readRun(at("dora-none")).manifest;
  expect(await whet(["export", "dora-none", "-o", "merged", "--merge"], folder)).toMatchObject({
    code: 0,
  });
  // The built-in model is in f16, to which the merged weights are rounded.
  expect(far(await perplexity("merged"), best!.val_loss)).toBeLessThan(2e-3);
  const gguf = ["export", "dora-none", "-o", "merged.gguf", "--gguf", "--quant", "f32", "--verify"];
  expect(await whet(gguf, folder)).toMatchObject({ code: 0 });
  expect(far(await perplexity("merged.gguf"), best!.val_loss)).toBeLessThan(1e-4);
  const lora = await whet(["export", "dora-none", "-o", "a.gguf", "--gguf-lora"], folder);
  expect(lora.code).toBe(2);
  expect(lora.err).toContain("a GGUF adapter cannot hold DoRA");
  const said = await whet(
    ["infer", "-m", "model", "-a", "dora-none", "-p", "count 3", "--max-tokens", "2"],
    folder,
  );
  expect(said.code).toBe(0);
  const more = ["--init-adapter", "dora-none", "--use-dora", "--target", "q_proj,down_proj"];
  const { baseline } = await trained("more", ...more);
  expect(Math.abs(baseline - best!.val_loss)).toBeLessThan(1e-4);
  const without = await whet([...sft, ...more.slice(0, 2), "-o", "other"], folder);
  expect(without.code).toBe(2);
});

test("what a step is made of is told before the first", async () => {
  const { code, out } = await whet([...sft, "--accum", "2", "-o", "told"], folder);
  expect(code).toBe(0);
  expect(out).toContain(
    "batch  4 rows x 2 accumulated = 8 rows a step, in about 1.5 micro-batches",
  );
  expect(out).toContain("steps  3 as --iters says, 1.5 epochs");
});

test("no layer of that name: an error, or all weights with PEFT's warning, where they fit", async () => {
  const lost = [...sft, "--target", "c_attn", "-o", "lost"];
  const error = await whet(lost, folder);
  expect(error.code).toBe(2);
  expect(error.err).toContain("its linear layers are q_proj, k_proj");
  const tight = await whet(
    [...lost, "--on-lora-failure", "full", "--target-mem", "6MB"],
    folder,
  );
  expect(tight.code).toBe(2);
  expect(tight.err).toContain("more than there is");
  expect(existsSync(at("lost"))).toBe(false);
  const { warned, manifest } = await trained(
    "lost",
    "--target",
    "c_attn",
    "--on-lora-failure",
    "full",
  );
  expect(warned.map(({ message }) => message)).toContain(
    "Failed to apply LoRA (continuing with full fine-tuning): KeyError: 'c_attn'",
  );
  expect(manifest.settings).toMatchObject({ full: true, lr: 2e-5 });
  expect(manifest.model.trainable).toBe(manifest.model.parameters);
  expect(existsSync(at("lost/model.safetensors"))).toBe(true);
});

test.each<[string[], number, string]>([
  [["--loss-on", "answer"], 2, "expected response, all, or section:"],
  [["--loss-on", "section:a=1,a=2"], 2, "expected response, all, or section:"],
  [["--loss-on", "section:foo=2"], 3, "no row of rows.jsonl has a section foo"],
  [["--loss-on", "response", "--no-mask-prompt"], 2, "trains the prompt too"],
  [["--layers", "2-9"], 2, "it has 4 blocks, numbers 0 to 3"],
  [["--layers", "3-1"], 2, "3 comes after 1"],
  [["--layers", "first"], 2, "expected 8-15"],
  [["--full", "--use-dora"], 2, "--full has none"],
  [["--use-dora", "--compute", "f16"], 2, "f32 only"],
  [["--full", "--layers", "1"], 2, "--full trains all weights"],
  [["--full", "--loraplus-ratio", "4"], 2, "--full has none"],
  [["--on-lora-failure", "full", "--quant", "nf4"], 2, "--quant nf4 keeps them frozen"],
  [["--lr-decay", "0.2"], 2, "belongs to --scheduler wsd"],
  [["--scheduler", "wsd", "--lr-decay", "0.95"], 2, "more than the whole run"],
  [["--min-lr-ratio", "0.1", "--scheduler", "linear"], 2, "belongs to cosine and wsd"],
  [["--label-smoothing", "1"], 2, "0.999"],
])("%p is refused", async (flags, exit, why) => {
  const { code, err } = await whet([...sft, ...flags, "-o", "refused"], folder);
  expect({ code, err: code === exit ? "" : err }).toEqual({ code: exit, err: "" });
  expect(err).toContain(why);
  expect(existsSync(at("refused"))).toBe(false);
});
