import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { labelOf, nextVersion, parseLabel, readTags, writeTags } from "./tags.ts";

const folder = mkdtempSync(join(tmpdir(), "whet-tags-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("what is typed as a tag", () => {
  expect(parseLabel("v1.0", "garden")).toEqual({ name: "garden", version: "v1.0" });
  expect(parseLabel("beet:v2", "garden")).toEqual({ name: "beet", version: "v2" });
  expect(parseLabel("béton_2.x", "garden")).toEqual({ name: "béton_2.x" });
  for (const bad of ["", ":v1", "a:", "a:b", "a:1.0", "a b", "../x", "v1.0.0.0:v1.0.0.0", "-x"]) {
    expect([bad, parseLabel(bad, "garden")]).toEqual([bad, undefined]);
  }
  expect(labelOf({ name: "a", version: "v1.0" })).toBe("a:v1.0");
});

test("the next version", () => {
  const cases: [string[], string][] = [
    [[], "v1.0"],
    [["v1.0"], "v1.1"],
    [["v1.9", "v1.10"], "v1.11"],
    [["v2", "v1.7"], "v2.1"],
    [["v1.0", "v1.0.3"], "v1.0.4"],
    [["latest"], "v1.0"],
  ];
  for (const [versions, next] of cases) expect(nextVersion(versions)).toBe(next);
});

test("are read back; a file that is not understood holds none", async () => {
  const tags = [{ name: "a", version: "v1.0", at: "2026-01-01T00:00:00Z", sha256: "f" }];
  await writeTags(folder, tags);
  expect(readTags(folder)).toEqual(tags);
  for (const text of ["", "[]", '{"format":2,"tags":[]}', '{"format":1,"tags":[{"name":1}]}']) {
    writeFileSync(join(folder, "tags.json"), text);
    expect(readTags(folder)).toEqual([]);
  }
  expect(readTags(join(folder, "nowhere"))).toEqual([]);
});
