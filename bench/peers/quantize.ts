/**
 * whet's quantising beside llama.cpp's: a model of Llama-3.2-1B's shape to Q4_K_M, on all processors, in
 * processes of their own that take turns. llama.cpp starts from the f16 GGUF file that whet wrote, whet
 * from the model folder; tensor bytes are compared. On a machine that others share, the processor's
 * seconds say more than the clock.
 *
 *   bun bench/peers/quantize.ts [--model DIR] [--quant q4_k_m] [--rounds 2] [--save DIR]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { writeFile } from "../../src/base/durable.ts";
import { columns } from "../../src/base/text.ts";
import { type GgufQuant, ggufQuants } from "../../src/export/gguf_mixtures.ts";
import { openGguf } from "../../src/formats/gguf.ts";
import { startOracle } from "../../tests/oracle/oracle.ts";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string" },
    quant: { type: "string", default: "q4_k_m" },
    rounds: { type: "string", default: "2" },
    save: { type: "string" },
  },
});
const root = join(import.meta.dir, "../.."), quant = flags.quant as GgufQuant;
const threads = availableParallelism();
const oracle = await startOracle(); // installs the library
if (typeof oracle === "string") throw new Error(oracle);
await oracle.close();

/** Runs a program to its end. Seconds by the clock and of the processors, and its largest memory. */
async function run(...words: string[]) {
  const began = performance.now();
  const child = Bun.spawn([process.execPath, ...words], {
    cwd: root,
    stdout: "ignore",
    stderr: "ignore",
  });
  if (await child.exited !== 0) throw new Error(`${words.join(" ")} failed`);
  const { cpuTime, maxRSS } = child.resourceUsage()!;
  return {
    seconds: (performance.now() - began) / 1000,
    cpu: Number(cpuTime.total) / 1e6,
    memory: maxRSS / 2 ** 20, // in bytes here
  };
}

const dir = await mkdtemp(join(tmpdir(), "whet-quantize-"));
const [f16, ours, theirs] = ["f16", "ours", "theirs"].map((name) => join(dir, `${name}.gguf`)) as [
  string,
  string,
  string,
];
try {
  const model = flags.model ?? join(dir, "model");
  if (!flags.model) await run("scripts/random_model.ts", "llama-1b", model);
  const write = (out: string, quant: string) =>
    run(
      "src/main.ts",
      "export",
      model,
      "-o",
      out,
      "--gguf",
      "--quant",
      quant,
      "--force",
    );
  const load = loadavg()[0]!.toFixed(1);
  await write(f16, "f16");
  const type = String(ggufQuants[quant]);
  const turns: Record<"whet" | "llama.cpp", Awaited<ReturnType<typeof run>>>[] = [];
  for (let round = 0; round < Number(flags.rounds); round++) {
    turns.push({
      whet: await write(ours, quant),
      "llama.cpp": await run(
        "tests/oracle/quantize.ts",
        f16,
        theirs,
        type,
        String(threads),
      ),
    });
  }
  using a = openGguf(ours);
  using b = openGguf(theirs);
  const differing = [...a.tensors.keys()].filter((name) =>
    Buffer.compare(a.readBytes(name), b.readBytes(name)) !== 0
  );
  const best = (
    who: "whet" | "llama.cpp",
    what: "seconds" | "cpu" | "memory",
  ) => Math.min(...turns.map((turn) => turn[who][what]));
  const ratio = (what: "seconds" | "cpu") => best("llama.cpp", what) / best("whet", what);
  const cells = (["whet", "llama.cpp"] as const).map((who) => [
    who,
    best(who, "seconds").toFixed(1),
    best(who, "cpu").toFixed(1),
    best(who, "memory").toFixed(0),
  ]);
  const title = ["", "seconds", "processor seconds", "most memory, MiB"];
  const summary =
    `whet is ${ratio("seconds").toFixed(2)} times as fast by the clock, ${
      ratio("cpu").toFixed(2)
    } times by processor seconds; ` +
    `${differing.length} of ${a.tensors.size} tensors differ.`;
  console.log(columns([title, ...cells]));
  console.log(summary);
  if (flags.save) {
    const date = new Date().toISOString().slice(0, 10);
    const row = (row: readonly string[]) => `| ${row.join(" | ")} |`;
    const lines = [
      `# Quantising to ${quant} beside llama.cpp`,
      "",
      "`bun bench/peers/quantize.ts`",
      "",
      `- ${cpus()[0]!.model}, ${threads} processors, load ${load} before it began, ${date}`,
      `- ${
        flags.model ? basename(flags.model) : "Llama-3.2-1B's shape, random weights"
      }; best of ${turns.length}`,
      "- llama.cpp's memory counts the file that it maps",
      "",
      row(title),
      row(title.map(() => "---")),
      ...cells.map(row),
      "",
      summary,
      "",
    ];
    await writeFile(join(flags.save, `${date}-quantize.md`), lines.join("\n"));
  }
  if (differing.length > 0) process.exitCode = 1;
} finally {
  await rm(dir, { recursive: true });
}
