import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openGguf } from "./gguf.ts";
import { blockType } from "./gguf_blocks.ts";
import { writeGgufParts } from "./gguf_split.ts";
import { text } from "./gguf_types.ts";

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), "whet-"))));
afterAll(() => rm(dir, { recursive: true }));

/** Five tensors of 256 bytes, the third of 1 KiB. */
const file = (bad?: number) => ({
  metadata: new Map([["general.architecture", text("llama")]]),
  tensors: [64, 64, 256, 64, 64].map((n, t) => ({
    name: `t${t}`,
    type: blockType("f32"),
    shape: [n / 8, 8],
    chunks: () => [new Uint8Array(new Float32Array(t === bad ? 1 : n).fill(t + 1).buffer)],
  })),
});
const parts = (n: number) => Array.from({ length: n }, (_, i) => `m-0000${i + 1}-of-0000${n}.gguf`);

test("parts hold as much as they may, and are read as one file", async () => {
  const path = join(dir, "m.gguf");
  const { paths, size, sha256 } = await writeGgufParts(path, file(), 600);
  expect([paths, sha256]).toEqual([parts(3).map((name) => join(dir, name)), undefined]);
  using whole = openGguf(paths[0]!);
  expect([...whole.tensors.keys()]).toEqual(["t0", "t1", "t2", "t3", "t4"]);
  expect(whole.size).toBe(size);
  for (let t = 0; t < 5; t++) {
    expect(whole.readF32(`t${t}`, 2, 4)).toEqual(new Float32Array(16).fill(t + 1));
  }
  expect(whole.metadata.get("split.count")).toEqual({ type: "u16", value: 3 });
  expect(whole.metadata.get("split.tensors.count")).toEqual({ type: "i32", value: 5 });
  expect(() => whole.readBytes("t9")).toThrow("has no tensor t9");
});

test("what fits into one file is one, under its own name", async () => {
  const path = join(dir, "small.gguf");
  const { paths, sha256 } = await writeGgufParts(path, file(), 1e6);
  expect([paths, sha256?.length]).toEqual([[path], 64]);
  using whole = openGguf(path);
  expect(whole.metadata.has("split.count")).toBe(false);
});

test("a part that is missing, renamed, from elsewhere or not the first is named", async () => {
  const [one, two, three] = parts(3).map((name) => join(dir, name)) as [string, string, string];
  expect(() => openGguf(two)).toThrow("this is part 2 of 3");
  copyFileSync(one, join(dir, "other.gguf"));
  expect(() => openGguf(join(dir, "other.gguf"))).toThrow("it is the first of 3 parts");
  renameSync(three, join(dir, "away"));
  expect(() => openGguf(one)).toThrow(`part 3 of 3 is missing: ${three}`);
  copyFileSync(two, three);
  expect(() => openGguf(one)).toThrow("it does not say that it is part 3 of 3");
  renameSync(join(dir, "away"), three);
  openGguf(one).close();
});

test("nothing is left of parts when one cannot be written, and nothing begun that may not be", async () => {
  const path = join(dir, "bad", "m.gguf");
  await expect(writeGgufParts(path, file(1), 600)).rejects.toThrow("its shape needs");
  expect(readdirSync(join(dir, "bad"))).toEqual([]);
  rmSync(join(dir, "bad"), { recursive: true });
  const refuse = (path: string) => {
    if (path.includes("00002")) throw new Error("kept");
  };
  await expect(writeGgufParts(path, file(), 600, refuse)).rejects.toThrow("kept");
  expect(existsSync(join(dir, "bad"))).toBe(false);
});
