import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cacheRoots, type Packed, unpack } from "./cache.ts";

const root = fs.mkdtempSync(join(tmpdir(), "cache-test-"));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

function file(name: string, text: string, hashed = true): Packed & { reads: number } {
  const bytes = Buffer.from(text);
  const packed = {
    name,
    sha256: hashed ? createHash("sha256").update(bytes).digest("hex") : undefined,
    reads: 0,
    bytes: () => (packed.reads++, bytes),
  };
  return packed;
}

describe("unpack", () => {
  test("writes once, for this user alone, and leaves nothing else", () => {
    const a = file("a", "one");
    const folder = unpack(root, "once", [a, file("b", "two")]);
    expect(fs.readdirSync(folder).sort()).toEqual(["a", "b"]);
    if (process.platform !== "win32") expect(fs.statSync(folder).mode & 0o777).toBe(0o700);
    expect(unpack(root, "once", [a])).toBe(folder);
    expect(a.reads).toBe(1);
  });

  test("replaces what is damaged, cut short or no file", () => {
    for (const hashed of [true, false]) {
      const a = file("a", "right", hashed);
      const folder = unpack(root, `damaged-${hashed}`, [a]);
      const path = join(folder, "a");
      fs.writeFileSync(path, "wrong");
      unpack(root, `damaged-${hashed}`, [a]);
      expect(fs.readFileSync(path, "utf8")).toBe("right");
      fs.truncateSync(path, 2);
      unpack(root, `damaged-${hashed}`, [a]);
      expect(fs.readFileSync(path, "utf8")).toBe("right");
      fs.rmSync(path);
      fs.writeFileSync(join(root, "elsewhere"), "right");
      fs.symlinkSync(join(root, "elsewhere"), path);
      unpack(root, `damaged-${hashed}`, [a]);
      expect(fs.lstatSync(path).isFile()).toBe(true);
    }
  });

  test.skipIf(process.platform === "win32")("refuses a folder that others can write", () => {
    fs.mkdirSync(join(root, "open"));
    fs.chmodSync(join(root, "open"), 0o777);
    expect(() => unpack(root, "open", [file("a", "one")])).toThrow("another user");
  });

  test("leaves nothing behind when it fails", () => {
    const bad = { ...file("a", "one"), sha256: "0".repeat(64) };
    expect(() => unpack(root, "bad", [bad])).toThrow("read back");
    expect(fs.readdirSync(join(root, "bad")).filter((name) => name !== "a")).toEqual([]);
    fs.writeFileSync(join(root, "a file"), "");
    expect(() => unpack(join(root, "a file"), "x", [])).toThrow();
  });
});

test("places follow the system's rules", () => {
  const linux = (env: Record<string, string>) => cacheRoots({ HOME: "/home/me", ...env }, "linux");
  expect(linux({})[0]).toBe("/home/me/.cache/whet");
  expect(linux({ XDG_CACHE_HOME: "/c" })[0]).toBe("/c/whet");
  expect(linux({ XDG_CACHE_HOME: "relative" })[0]).toBe("/home/me/.cache/whet");
  expect(linux({})[1]).toContain("whet-");
  expect(linux({ WHET_CACHE: "/only" })).toEqual(["/only"]);
  expect(cacheRoots({ HOME: "/Users/me" }, "darwin")[0]).toBe("/Users/me/Library/Caches/whet");
  expect(cacheRoots({ LOCALAPPDATA: "/local" }, "win32")[0]).toBe("/local/whet");
});
