import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { canaries, canaryFiles, canaryIn } from "./canary.ts";
import { bare } from "./cli/run.ts";

test("secrets are in every environment, and none is overlooked", async () => {
  for (const [name, value] of Object.entries(canaries)) {
    expect([process.env[name], bare()[name], canaryIn(`key ${value}`)]).toEqual([
      value,
      value,
      name,
    ]);
  }
  expect(canaryIn("key sk-other")).toBeUndefined();
  const dir = mkdtempSync(join(tmpdir(), "whet-canary-")), inner = join(dir, "in", "ner");
  mkdirSync(inner, { recursive: true });
  const key = canaries.HF_TOKEN!;
  // Over the end of a piece that is read at once, too.
  const hidden = ["first", "over", "last"].map((name) => join(inner, name));
  for (const [i, before] of [0, 2 ** 20 - 5, 3 * 2 ** 20].entries()) {
    writeFileSync(hidden[i]!, `${"x".repeat(before)}${key}`);
  }
  writeFileSync(join(dir, "other"), "x".repeat(3 * 2 ** 20));
  expect(canaryFiles(dir).sort()).toEqual(hidden.toSorted());
  expect(canaryFiles(dir, Date.now() + 1e6)).toEqual([]);
  // What tests remove is searched first.
  expect(() => rmSync(dir, { recursive: true })).toThrow("a secret");
  let refused = "";
  await rm(dir, { recursive: true }).catch((error: Error) => refused = error.message);
  expect(refused).toContain(join("in", "ner", "first"));
  for (const path of hidden) writeFileSync(path, "");
  rmSync(dir, { recursive: true });
});
