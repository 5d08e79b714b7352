import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { renameHost } from "./windows.ts";

const dist = join(import.meta.dir, "../../node_modules/webgpu/dist");

for (const target of ["win32-x64", "win32-arm64"]) {
  const path = join(dist, target, "dawn.node");
  test.skipIf(!existsSync(path))(`the ${target} addon gets another host`, () => {
    const addon = readFileSync(path);
    const patched = Buffer.from(renameHost(addon, "whet.exe"));
    expect(patched.length).toBe(addon.length);
    expect(patched.toString("latin1", 0x40, 0x49)).toBe("whet.exe\0");
    let changed = 0;
    for (let i = 0; i < addon.length; i++) if (addon[i] !== patched[i]) changed++;
    expect(changed).toBeLessThanOrEqual(9 + 4);
    expect(() => renameHost(patched, "again.exe")).toThrow("does not import node.exe");
    expect(() => renameHost(addon, "x".repeat(300))).toThrow("at most");
    expect(() => renameHost(addon, "whét\u4e00.exe")).toThrow("plain");
  });
}

test("other files are refused", () => {
  expect(() => renameHost(new Uint8Array(1024), "whet.exe")).toThrow("not a PE file");
});
