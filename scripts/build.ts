/**
 * Builds the one file that is whet.
 *
 *   bun scripts/build.ts          dist/whet for this machine
 *   bun scripts/build.ts --all    dist/whet-<target> for every target
 *
 * Two options are for tests: --entry=FILE builds another program, --out=NAME names it in dist/.
 */
import { $ } from "bun";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import type { Asset } from "../src/base/assets.ts";
import { RECIPES } from "../src/settings/init.ts";
import { signMachO, sliceMachO } from "./macho.ts";

const root = join(import.meta.dir, "..");
const { values: options } = parseArgs({
  options: {
    all: { type: "boolean" },
    entry: { type: "string", default: "src/main.ts" },
    out: { type: "string" },
  },
});

const templates = readdirSync(join(root, "templates"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory()).map(({ name }) => `templates/${name}`);

/** Folders whose files travel with the program as they are. */
const carried = [
  "models/micro",
  "schemas",
  "training/configs",
  ...RECIPES.map((name) => `training/data/${name}`),
  "templates",
  ...templates,
];

/** Programs of threads: entry points after the main one, found in the binary by these paths. */
const threads = ["src/data/look_worker.ts", "src/export/quantize_worker.ts"];

/** Names of Bun's targets, and where Dawn's library for each is. */
const targets: Record<string, { dawn: string; cpu?: "x64" | "arm64" }> = {
  "linux-x64": { dawn: "linux-x64" },
  "linux-arm64": { dawn: "linux-arm64" },
  "darwin-x64": { dawn: "darwin-universal", cpu: "x64" },
  "darwin-arm64": { dawn: "darwin-universal", cpu: "arm64" },
  "windows-x64": { dawn: "win32-x64" },
  "windows-arm64": { dawn: "win32-arm64" },
};

interface Carried extends Asset {
  readonly path: string;
}

function files(folder: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => entry.isFile()).map(({ name }) => `${folder}/${name}`).sort();
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A file as it is. */
function plain(path: string): Carried {
  const at = join(root, path);
  return { path, at, sha256: sha256(readFileSync(at)), zstd: false };
}

/** Dawn's library and what must lie beside it, compressed; the results are kept in gen/. */
function dawn(target: string): Carried[] {
  const { dawn, cpu } = targets[target]!;
  return files(`node_modules/webgpu/dist/${dawn}`)
    .filter((path) => /\.(node|dll)$/.test(path))
    // The arm64 build of Dawn for Windows does not know this compiler.
    .filter((path) => target !== "windows-arm64" || !path.endsWith("dxcompiler.dll"))
    .map((path) => {
      const whole = readFileSync(join(root, path));
      const bytes = cpu ? sliceMachO(whole, cpu) : whole;
      const hash = sha256(bytes);
      const at = join(root, "gen", `${hash.slice(0, 16)}.zst`);
      if (!existsSync(at)) writeFileSync(at, Bun.zstdCompressSync(bytes, { level: 19 }));
      return { path: `dawn/${path.split("/").at(-1)}`, at, sha256: hash, zstd: true };
    });
}

async function build(target: string, out: string): Promise<void> {
  const began = performance.now();
  const assets = [...carried.flatMap(files).map(plain), ...dawn(target)];
  const folder = join(root, "gen", target);
  mkdirSync(folder, { recursive: true });
  const path = (to: string) => JSON.stringify(relative(folder, to).replaceAll("\\", "/"));
  const imports = assets.map(({ at }, i) => `import a${i} from ${path(at)} with { type: "file" };`);
  const table = assets.map(({ path, sha256, zstd }, i) =>
    `  ${JSON.stringify(path)}: { at: a${i}, sha256: "${sha256}", zstd: ${zstd} },`
  );
  writeFileSync(
    join(folder, "main.ts"),
    `${imports.join("\n")}
import { useBuild } from ${path(join(root, "src/base/assets.ts"))};
useBuild({ commit: "${await commit()}", files: {
${table.join("\n")}
} });
await import(${path(join(root, options.entry))});
`,
  );
  // Source maps land beside the program; it has its own copy inside.
  const made = join(folder, out);
  const outfile = join(root, "dist", out);
  const { exitCode, stderr } = await $`${process.execPath} build --compile ${[
    "--minify",
    "--splitting",
    "--sourcemap=linked",
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    `--target=bun-${target}`,
    join(folder, "main.ts"),
    ...threads.map((path) => join(root, path)),
    `--outfile=${made}`,
  ]}`.nothrow().quiet();
  if (exitCode !== 0) {
    console.error(stderr.toString());
    process.exit(1);
  }
  // Bun leaves the signature of its own program on this target, which no longer fits.
  if (target === "darwin-x64") writeFileSync(made, signMachO(readFileSync(made), "whet"));
  renameSync(made, outfile);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  const megabytes = (statSync(outfile).size / 1e6).toFixed(1);
  console.log(`dist/${out}: ${megabytes} MB, ${assets.length} files inside, ${seconds} s`);
}

async function commit(): Promise<string> {
  const head = (await $`git rev-parse --short=12 HEAD`.cwd(root).nothrow().quiet()).text().trim();
  const changes = (await $`git status --porcelain`.cwd(root).nothrow().quiet()).text().trim();
  return head === "" ? "unknown" : head + (changes === "" ? "" : "+");
}

mkdirSync(join(root, "gen"), { recursive: true });
mkdirSync(join(root, "dist"), { recursive: true });
const extension = (target: string) => target.startsWith("windows") ? ".exe" : "";
if (options.all) {
  for (const target of Object.keys(targets)) {
    await build(target, `whet-${target}${extension(target)}`);
  }
} else {
  const target = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  if (!targets[target]) throw new Error(`There is no build for ${target}`);
  await build(target, options.out ?? `whet${extension(target)}`);
}
