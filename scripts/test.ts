/**
 * Runs every check: format, lint, types, tests, and the kernels' tests once more on a second WebGPU
 * implementation. The last line counts them; a failed check counts as a failed test. What the tests
 * write and print is searched for the secrets that stand in their environment (tests/canary.ts).
 *
 *   bun scripts/test.ts          everything that is quick
 *   bun scripts/test.ts --deep   also tests named *.deep.ts
 */
import { Glob } from "bun";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cacheRoots } from "../src/base/cache.ts";
import { canaries, canaryFiles, canaryIn } from "../tests/canary.ts";

const root = join(import.meta.dir, "..");
const bin = (name: string) => join(root, "node_modules/.bin", name);

/** Where the tests' folders are, so that what they leave can be searched. */
const temporary = mkdtempSync(join(tmpdir(), "whet-tests-"));
const started = Date.now();
process.on("exit", () => rmSync(temporary, { recursive: true, force: true }));

interface Result {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

async function check(name: string, command: string[]): Promise<Result> {
  const began = performance.now();
  const child = Bun.spawn(command, {
    cwd: root,
    env: { ...process.env, NO_COLOR: "1" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`${code === 0 ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
  if (code !== 0) console.log(out + errors);
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
}

/** A secret that the tests printed. */
let printed: string | undefined;

/** Whether a secret was told: printed, or left in a file. Those of removed folders were searched before. */
function secrets(): Result {
  const found = [temporary, root, ...cacheRoots()].flatMap((path) => canaryFiles(path, started));
  const told = [...found, ...(printed ? [`the output: the value of ${printed}`] : [])];
  console.log(`${told.length === 0 ? "ok    " : "FAILED"} no secret in a file or in the output`);
  for (const where of told) console.log(`a secret stands in ${where}`);
  return { passed: told.length === 0 ? 1 : 0, failed: told.length === 0 ? 0 : 1, skipped: 0 };
}

/** Runs a test runner and reads its counts: Bun's " 7 pass" lines or Deno's "7 passed | 0 failed". */
async function tests(name: string, command: string[]): Promise<Result> {
  const child = Bun.spawn(command, {
    cwd: root,
    env: { ...process.env, ...canaries, NO_COLOR: "1", TMPDIR: temporary },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let text = "";
  const copy = async (from: ReadableStream<Uint8Array>, to: NodeJS.WriteStream) => {
    const decoder = new TextDecoder();
    for await (const bytes of from) {
      to.write(bytes);
      text += decoder.decode(bytes, { stream: true });
    }
  };
  await Promise.all([copy(child.stdout, process.stdout), copy(child.stderr, process.stderr)]);
  const code = await child.exited;
  printed ??= canaryIn(text);
  const count = (pattern: string) =>
    Number(text.match(new RegExp(`^ *(\\d+) ${pattern}$`, "m"))?.[1] ?? 0);
  const deno = /^(?:ok|FAILED) \| (\d+) passed.*?\| (\d+) failed/m.exec(text);
  const failed = count("fail") + count("errors?") + Number(deno?.[2] ?? 0);
  if (code !== 0 && failed === 0) console.log(`${name}: the test process ended with ${code}`);
  return {
    passed: count("pass") + Number(deno?.[1] ?? 0),
    failed: code !== 0 ? Math.max(failed, 1) : failed,
    skipped: count("skip") + count("todo"),
  };
}

const checks = await Promise.all([
  check("deno fmt", [bin("deno"), "fmt", "--check", "--quiet"]),
  check("deno lint", [bin("deno"), "lint", "--quiet"]),
  check("types", [bin("tsc"), "-p", "."]),
]);
const bunTest = [process.execPath, "test", "--timeout", "120000"];
const results = [
  ...checks,
  await tests("bun test", bunTest),
  await tests("wgpu", [process.execPath, "run", "test:wgpu"]),
];
if (process.argv.includes("--deep")) {
  const deep = [...new Glob("{src,kernels,tests}/**/*.deep.ts").scanSync(root)].sort();
  if (deep.length > 0) {
    results.push(await tests("deep", [...bunTest, ...deep.map((file) => `./${file}`)]));
  }
}
results.push(secrets());

const sum = (key: keyof Result) => results.reduce((total, result) => total + result[key], 0);
const skipped = sum("skipped") > 0 ? `, ${sum("skipped")} skipped` : "";
console.log(`${sum("passed")} passed, ${sum("failed")} failed${skipped}`);
process.exit(sum("failed") === 0 ? 0 : 1);
