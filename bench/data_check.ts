/**
 * How fast rows are checked, and in how much memory: whet data check on a file of distinct rows of 300 bytes
 * to 2 kB. Their words follow each other as in the comments and documents of this repository, so that
 * texts share runs of characters as texts of one field do.
 *
 *   bun bench/data_check.ts [--mb 1000] [--rounds 3] [--file rows.jsonl] [--whet dist/whet] [--json]
 */
import { Glob } from "bun";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dir, "..");
const { values: flags } = parseArgs({
  options: {
    mb: { type: "string", default: "1000" },
    rounds: { type: "string", default: "3" },
    file: { type: "string" },
    whet: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

const dir = mkdtempSync(join(tmpdir(), "whet-check-"));
const file = flags.file ?? join(dir, "rows.jsonl");

let state = 12345;
function random(): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
}
const pick = (n: number) => Math.floor(n * random());

/** Words in the order in which they were written, and where each is followed. */
function corpus() {
  const words: string[] = [], after = new Map<string, number[]>();
  for (
    const path of ["README.md", ...new Glob("{src,kernels,tests}/**/*.ts").scanSync(root)].sort()
  ) {
    const text = readFileSync(join(root, path), "utf8");
    for (const word of text.match(/\p{L}[\p{L}'-]*[,.;]?|\d+/gu) ?? []) words.push(word);
  }
  words.forEach((word, i) => {
    const places = after.get(word);
    if (!places) after.set(word, [i + 1]);
    else if (places.length < 4096) places.push(i + 1);
  });
  return { words, after };
}

async function makeRows(path: string, bytes: number): Promise<void> {
  const { words, after } = corpus();
  const text = (length: number) => {
    let at = pick(words.length), made = "";
    for (let i = 0; i < length; i++) {
      const word = words[at % words.length]!, places = after.get(word)!;
      made += (i === 0 ? "" : random() < 0.03 ? "\n" : " ") + word;
      if (random() < 0.004) made += " “é”";
      at = places[pick(places.length)]!;
    }
    return made;
  };
  const say = (role: string, content: string) => ({ role, content });
  const forms = [
    () => ({
      messages: [
        say("system", "You are a helpful assistant."),
        say("user", text(15 + pick(60))),
        say("assistant", text(30 + pick(150))),
      ],
    }),
    () => ({ prompt: text(15 + pick(100)), completion: text(20 + pick(200)) }),
    () => ({
      instruction: text(10 + pick(40)),
      context: { page: text(10), open: pick(9) },
      output: JSON.stringify({
        intent: ["search", "buy", "ask"][pick(3)],
        query: text(10 + pick(30)),
        score: pick(100) / 100,
      }),
    }),
  ];
  const writer = Bun.file(path).writer();
  for (let size = 0, i = 0; size < bytes; i++) {
    const line = JSON.stringify(forms[i % forms.length]!()) + "\n";
    size += Buffer.byteLength(line);
    writer.write(line);
    if (i % 1000 === 0) await writer.flush();
  }
  await writer.end();
}

if (flags.file === undefined) await makeRows(file, Number(flags.mb) * 1e6);
const megabytes = statSync(file).size / 1e6;
const program = flags.whet ? [flags.whet] : [process.execPath, join(root, "src/main.ts")];
const results = [];
for (let round = 0; round < Number(flags.rounds); round++) {
  const start = performance.now();
  const child = Bun.spawn([...program, "data", "check", file, "--json"], {
    stdout: "pipe",
    stderr: "ignore",
  });
  const { rows } = JSON.parse((await new Response(child.stdout).text()).split("\n")[0]!);
  await child.exited;
  const seconds = (performance.now() - start) / 1000, used = child.resourceUsage()!;
  const cpu = Number(used.cpuTime.total) / 1e6;
  results.push({
    rows,
    seconds,
    mb_s: megabytes / seconds,
    cpu_seconds: cpu,
    mb_cpu_s: megabytes / cpu,
    rows_s: rows / seconds,
    peak_mb: used.maxRSS / 1e6,
  });
}
if (flags.file === undefined) rmSync(dir, { recursive: true });
const best = results.reduce((a, b) => a.seconds < b.seconds ? a : b);
const report = {
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  load: loadavg()[0],
  megabytes,
  best,
  results,
};
if (flags.json) console.log(JSON.stringify(report));
else {
  console.log(
    `${best.rows} rows, ${megabytes.toFixed(0)} MB: ${best.seconds.toFixed(1)} s, ` +
      `${best.mb_s.toFixed(1)} MB/s, ${best.mb_cpu_s.toFixed(1)} MB for each second of processor ` +
      `time, at most ${best.peak_mb.toFixed(0)} MB of memory; 100,000 rows in ` +
      `${(1e5 / best.rows_s).toFixed(1)} s (best of ${results.length}, load ${
        report.load!.toFixed(1)
      } on ${report.cores} cores)`,
  );
}
