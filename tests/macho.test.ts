import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { badPages, signMachO, sliceMachO } from "../scripts/macho.ts";

const path = join(import.meta.dir, "../node_modules/webgpu/dist/darwin-universal/dawn.node");

test.skipIf(!existsSync(path))("a slice is signed, and one changed byte shows", () => {
  const universal = readFileSync(path);
  const slice = sliceMachO(universal, "arm64");
  expect(badPages(slice).bad).toBe(0); // as its own linker signed it
  const signed = signMachO(slice, "test");
  expect(badPages(signed).bad).toBe(0);
  expect(badPages(signed).pages).toBeGreaterThan(1000);
  expect(badPages(signMachO(signed, "test")).bad).toBe(0);
  signed[100_000] = signed[100_000]! ^ 1;
  expect(badPages(signed).bad).toBe(1);
  // The other slice has no signature, which its systems accept.
  expect(() => signMachO(sliceMachO(universal, "x64"), "test")).toThrow("no room");
  expect(() => sliceMachO(Buffer.alloc(64), "x64")).toThrow("universal");
  expect(() => signMachO(Buffer.alloc(64), "test")).toThrow("thin");
});
