/**
 * whet's generation beside that of llama.cpp's Vulkan backend: the same Q4_K_M file of SmolLM-135M's shape,
 * the same adapter, taking turns, so that whatever else the machine does disturbs both alike. llama.cpp
 * passes software adapters over unless it is told their number, and compiles its kernels for minutes there.
 *
 *   bun run bench:generation [--prompt 512] [--answer 16] [--rounds 3] [--json] [--save DIR]
 */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadWeights, modelOf } from "../../src/architectures/model.ts";
import { writeFile } from "../../src/base/durable.ts";
import { columns } from "../../src/base/text.ts";
import { deviceSlug } from "../../src/commands/bench/results.ts";
import { quantile } from "../../src/commands/bench/statistics.ts";
import { openGgufModel } from "../../src/export/gguf_folder.ts";
import { exportGguf } from "../../src/export/gguf_model.ts";
import { openModel } from "../../src/formats/model_folder.ts";
import { Generator } from "../../src/generate/generator.ts";
import { Device } from "../../src/gpu/device.ts";
import { Memory } from "../../src/graph/memory.ts";
import type { Question } from "./llama_vulkan.ts";

const { values: flags } = parseArgs({
  options: {
    prompt: { type: "string", default: "512" },
    answer: { type: "string", default: "16" },
    rounds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
    save: { type: "string" },
  },
});
const [prompt, answer, rounds] = [flags.prompt, flags.answer, flags.rounds].map(Number) as [
  number,
  number,
  number,
];
const context = Math.ceil((prompt + answer + 1) / 256) * 256;

/** Milliseconds from the request to each token. */
type Ask = (seed: number) => Promise<readonly number[]>;

async function whet(path: string) {
  const device = await Device.open({ device: process.env.WHET_DEVICE ?? "software" });
  const model = modelOf(openGgufModel(path)), memory = new Memory(device);
  await loadWeights(model, memory, Generator.tensors(model).frozen);
  const generator = await Generator.create(model, memory, { slots: 1, context, prefill: 256 });
  const { vocab } = model.sizes, greedy = { temperature: 0, topP: 1, seed: 0 };
  const ask: Ask = async (seed) => {
    const ids = Array.from({ length: prompt }, (_, i) => (i * 7919 + seed * 104_729) % vocab);
    const request = { ids, maxTokens: answer, stop: new Set<number>(), sampling: greedy };
    return (await generator.submit(request).answer).at;
  };
  return { ask, vocab, device };
}

function llama(path: string, vocab: number) {
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, "llama_vulkan.ts"), path, `${vocab}`, `${context}`],
    {
      stdin: "pipe",
      stderr: "inherit",
      env: { GGML_VK_VISIBLE_DEVICES: "0", ...process.env },
    },
  );
  const lines = linesOf(child.stdout);
  const next = async () => {
    const { value } = await lines.next();
    if (value === undefined) throw new Error("llama.cpp ended");
    return JSON.parse(value);
  };
  const ask: Ask = async (seed) => {
    const question: Question = { prompt, answer, seed };
    child.stdin.write(JSON.stringify(question) + "\n");
    await child.stdin.flush();
    return (await next() as { at: number[] }).at;
  };
  return { ask, ready: next as () => Promise<{ devices: string[] }>, end: () => child.kill() };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let held = "";
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    const parts = (held + decoder.decode(bytes, { stream: true })).split("\n");
    held = parts.pop()!;
    yield* parts;
  }
}

const dir = await mkdtemp(join(tmpdir(), "whet-peers-"));
try {
  const folder = join(dir, "model"), path = join(dir, "model.gguf");
  const script = join(import.meta.dir, "../../scripts/random_model.ts");
  const made = Bun.spawnSync([process.execPath, script, "smollm-135m", folder]);
  if (!existsSync(join(folder, "config.json"))) throw new Error(made.stderr.toString());
  using source = await openModel(folder);
  await exportGguf({ model: source, quant: "q4_k_m", out: path, pretokenizer: "gpt-2" });

  const ours = await whet(path), theirs = llama(path, ours.vocab);
  const { devices } = await theirs.ready();
  // The first of each compiles kernels.
  await ours.ask(0);
  await theirs.ask(0);
  const found: { whet: readonly number[]; llama: readonly number[] }[] = [];
  for (let round = 1; round <= rounds; round++) {
    found.push({ whet: await ours.ask(round), llama: await theirs.ask(round) });
  }
  theirs.end();

  const first = (at: readonly number[]) => at[0]!;
  const gap = (at: readonly number[]) => quantile(at.slice(1).map((ms, i) => ms - at[i]!), 0.5);
  const line = (name: string, of: (at: readonly number[]) => number) => ({
    name,
    whet_ms: Math.min(...found.map(({ whet }) => of(whet))),
    llama_ms: Math.min(...found.map(({ llama }) => of(llama))),
    /** How many times as long llama.cpp takes, at the median round. */
    ratio: quantile(found.map(({ whet, llama }) => of(llama) / of(whet)), 0.5),
  });
  const { adapter, driver } = ours.device.capabilities;
  const result = {
    format: 1,
    kind: "generation-peers",
    date: new Date().toISOString(),
    adapter,
    driver,
    llama_devices: devices,
    cpus: cpus().length,
    load: loadavg()[0]!,
    prompt,
    answer,
    rounds,
    lines: [line("first token", first), line("a token after it", gap)],
  };
  const ms = (n: number) => `${n.toFixed(0)} ms`;
  const table = columns([
    [`Q4_K_M, ${prompt} tokens of prompt`, "whet", "llama.cpp", "ratio"],
    ...result.lines.map(({ name, whet_ms, llama_ms, ratio }) => [
      name,
      ms(whet_ms),
      ms(llama_ms),
      `${ratio.toFixed(2)} x`,
    ]),
  ]);
  const about =
    `${adapter}, ${driver}; best of ${rounds} taking turns, ratio at the median round; ` +
    `load ${result.load.toFixed(1)} on ${result.cpus} processors`;
  console.log(flags.json ? JSON.stringify(result) : `${about}\n\n${table}`);
  if (flags.save) {
    const at = `${deviceSlug({ adapter, driver })}-${result.date.slice(0, 10)}-generation-peers`;
    await writeFile(join(flags.save, `${at}.json`), JSON.stringify(result, null, 2) + "\n");
  }
} finally {
  await rm(dir, { recursive: true });
}
process.exit(0);
