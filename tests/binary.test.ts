import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const empty = fs.mkdtempSync(join(tmpdir(), "binary-test-"));
const extension = process.platform === "win32" ? ".exe" : "";
const program = join(empty, `smoke${extension}`);

interface Report {
  squares?: number[];
  schemas?: { names: string[]; folder: string };
  commit?: string;
  threads?: number;
  exit?: number;
  message?: string;
  why?: string;
}

/** Runs the compiled program in the empty folder. */
async function run(env: Record<string, string>, ...args: string[]): Promise<Report> {
  const child = Bun.spawn([program, ...args], {
    cwd: empty,
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect(errors).toBe("");
  return JSON.parse(out);
}

/** Builds `entry` and puts the program at `path`. */
function compile(entry: string, path: string): void {
  const name = `test-${process.pid}${extension}`;
  const built = Bun.spawnSync(
    [process.execPath, "scripts/build.ts", `--entry=${entry}`, `--out=${name}`],
    { cwd: root, stdout: "ignore", stderr: "inherit" },
  );
  expect(built.exitCode).toBe(0);
  fs.copyFileSync(join(root, "dist", name), path);
  fs.rmSync(join(root, "dist", name));
}

function find(folder: string, name: string): string {
  const path = fs.readdirSync(folder, { recursive: true, encoding: "utf8" })
    .find((path) => path.endsWith(name));
  return join(folder, path!);
}

afterAll(() => fs.rmSync(empty, { recursive: true, force: true }));

describe("a compiled program", () => {
  beforeAll(() => compile("tests/binary/main.ts", program));

  test("reaches the GPU and its own files from an empty folder", async () => {
    const cache = join(empty, "cache");
    const { squares, schemas, commit } = await run({ WHET_CACHE: cache });
    expect(squares).toEqual([0, 1, 4, 9]);
    expect(commit).toMatch(/^([0-9a-f]{12}\+?|unknown)$/);
    expect(schemas!.names).toEqual(fs.readdirSync(join(root, "schemas")).sort());
    for (const name of schemas!.names) {
      expect(fs.readFileSync(join(schemas!.folder, name)))
        .toEqual(fs.readFileSync(join(root, "schemas", name)));
    }
  });

  test("starts its threads", async () => {
    expect(await run({}, "--threads")).toMatchObject({ threads: 2, forms: { text: 1 } });
  });

  test("unpacks anew what was tampered with", async () => {
    const cache = join(empty, "cache");
    await run({ WHET_CACHE: cache });
    const path = find(cache, "dawn.node");
    const bytes = fs.readFileSync(path);
    const damaged = Buffer.from(bytes);
    damaged[bytes.length >> 1] = damaged[bytes.length >> 1]! ^ 0xff;
    fs.writeFileSync(path, damaged);
    expect((await run({ WHET_CACHE: cache })).squares).toEqual([0, 1, 4, 9]);
    expect(fs.readFileSync(path).equals(bytes)).toBe(true);
  });

  test("several at once share one empty cache", async () => {
    const cache = join(empty, "shared");
    const reports = await Promise.all([1, 2, 3, 4].map(() => run({ WHET_CACHE: cache })));
    for (const { squares } of reports) expect(squares).toEqual([0, 1, 4, 9]);
    const left = fs.readdirSync(cache, { recursive: true, encoding: "utf8" })
      .filter((path) => path.includes("dawn.node"));
    expect(left.length).toBe(1);
  });

  test("says so when there is no place to unpack", async () => {
    fs.writeFileSync(join(empty, "a file"), "");
    const { exit, message, why } = await run({ WHET_CACHE: join(empty, "a file", "x") });
    expect(exit).toBe(4);
    expect(message).toContain("WebGPU library");
    expect(why).toContain("a file");
  });

  test("ignores the .env and bunfig.toml of the folder it runs in", async () => {
    fs.writeFileSync(join(empty, ".env"), `WHET_CACHE=${join(empty, "from-env")}\n`);
    fs.writeFileSync(join(empty, "bunfig.toml"), `preload = ["./missing.ts"]\n`);
    const { squares } = await run({ WHET_CACHE: "", XDG_CACHE_HOME: join(empty, "xdg") });
    expect(squares).toEqual([0, 1, 4, 9]);
    expect(fs.existsSync(join(empty, "from-env"))).toBe(false);
  });
});

describe("whet itself", () => {
  const whet = join(empty, `whet${extension}`);
  const start = (...args: string[]) => Bun.spawnSync([whet, ...args], { cwd: empty });
  beforeAll(() => compile("src/main.ts", whet));

  test("is one file of at most 125 MB", () => {
    // Windows carries Direct3D's compilers as well.
    const limit = process.platform === "win32" ? 135e6 : 125e6;
    expect(fs.statSync(whet).size).toBeLessThanOrEqual(limit);
  });

  test("tells its version within 60 ms", () => {
    const { version } = JSON.parse(fs.readFileSync(join(root, "package.json"), "utf8"));
    const times = Array.from({ length: 10 }, () => {
      const began = performance.now();
      expect(start("--version").stdout.toString().trim()).toBe(version);
      return performance.now() - began;
    });
    // The quickest of ten, because other work on the machine can only slow it down.
    expect(Math.min(...times)).toBeLessThanOrEqual(60);
  });

  test("finds the GPU", () => {
    const { exitCode, stdout } = start("doctor", "--json");
    expect(exitCode).toBe(0);
    expect(stdout.toString()).toContain("adapter");
  });
});
