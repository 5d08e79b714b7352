import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Capabilities } from "./device.ts";
import { readTuned, writeTuned } from "./tuned.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "whet-tuned-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const can = { adapter: "A", driver: "1.0", backend: "vulkan", compute: "f32" } as Capabilities;
const table = { "matmul nt": "tile 8x8 32" };

test("what was measured is found again, and added to", async () => {
  expect(readTuned(can, [root])).toEqual({});
  const path = await writeTuned(can, table, [root]);
  expect(path).toStartWith(root);
  expect(readTuned(can, [root])).toEqual(table);
  await writeTuned(can, { "matmul nn": "few" }, [root]);
  expect(readTuned(can, [root])).toEqual({ ...table, "matmul nn": "few" });
  expect(readdirSync(root).length).toBe(1);
});

test("another adapter, driver or format is another table", async () => {
  await writeTuned(can, table, [root]);
  for (const other of [{ adapter: "B" }, { driver: "1.1" }, { compute: "f16" }] as const) {
    expect(readTuned({ ...can, ...other }, [root])).toEqual({});
  }
});

test("a damaged table is none, and is replaced", async () => {
  const path = (await writeTuned(can, table, [root]))!, whole = readFileSync(path, "utf8");
  const elsewhere = whole.replace('"A"', '"B"');
  for (
    const text of ["", "{", whole.slice(0, 40), "null", elsewhere, whole.replace(/"tile.*"/, "7")]
  ) {
    writeFileSync(path, text);
    expect(readTuned(can, [root])).toEqual({});
  }
  await writeTuned(can, table, [root]);
  expect(readTuned(can, [root])).toEqual(table);
});

test("where the first folder cannot be written, the next is taken; where none can, none", async () => {
  const blocked = join(root, "file"), second = join(root, "second");
  writeFileSync(blocked, "");
  expect(await writeTuned(can, table, [join(blocked, "under"), second])).toStartWith(second);
  expect(readTuned(can, [join(blocked, "under"), second])).toEqual(table);
  expect(await writeTuned(can, table, [join(blocked, "under")])).toBeUndefined();
});

test.skipIf(process.getuid?.() === 0)(
  "a folder without the right to write is no error",
  async () => {
    const closed = join(root, "closed");
    mkdirSync(closed);
    chmodSync(closed, 0o500);
    expect(await writeTuned(can, table, [closed])).toBeUndefined();
  },
);
