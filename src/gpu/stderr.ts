import type { FFIFunction } from "bun:ffi";
import { closeSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

/**
 * Runs `action` and takes what native libraries write to stderr meanwhile, which they do without
 * asking. Only Linux needs it, and only there it is done; `text` is empty elsewhere.
 */
export function captureStderr<T>(action: () => T): { value: T; text: string } {
  const libc = open();
  if (!libc) return { value: action(), text: "" };
  const saved = libc.dup(2);
  const memory = libc.memfd_create(Buffer.from("stderr\0"), 0);
  if (saved < 0 || memory < 0) return { value: action(), text: "" };
  libc.dup2(memory, 2);
  let value: T;
  try {
    value = action();
  } finally {
    libc.dup2(saved, 2);
    closeSync(saved);
  }
  const text = readFileSync(`/proc/self/fd/${memory}`, "utf8");
  closeSync(memory);
  return { value, text };
}

interface Libc {
  dup(fd: number): number;
  dup2(from: number, to: number): number;
  memfd_create(name: Uint8Array, flags: number): number;
}

let libc: Libc | false | undefined;

function open(): Libc | false {
  if (libc !== undefined) return libc;
  try {
    const { dlopen } = createRequire(import.meta.url)("bun:ffi") as typeof import("bun:ffi");
    const int = "int" as const;
    const symbols = {
      dup: { args: [int], returns: int },
      dup2: { args: [int, int], returns: int },
      memfd_create: { args: ["ptr", "u32"], returns: int },
    } satisfies Record<string, FFIFunction>;
    libc = process.platform === "linux" && dlopen("libc.so.6", symbols).symbols;
  } catch {
    libc = false; // a system without Bun, without glibc or without the right to make code: the noise stays
  }
  return libc;
}
