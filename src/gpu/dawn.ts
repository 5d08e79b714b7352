import { existsSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { Exit, Fail } from "../base/fail.ts";

/** What dawn.node exports. */
interface Dawn {
  create(flags: string[]): GPU;
  readonly globals: Record<string, unknown>;
}

/** Everything that must outlive its last use: Bun collects a GPU whose device still works. */
interface Pins {
  dawn?: Dawn;
  readonly instances: Map<string, GPU>;
  readonly kept: unknown[];
}

const pins: Pins = (globalThis as { whetGpu?: Pins }).whetGpu ??= {
  instances: new Map(),
  kept: [],
};

/** Keeps a GPU object alive until the process ends. */
export function pin(value: unknown): void {
  pins.kept.push(value);
}

/**
 * Dawn's WebGPU entry object, one for each set of flags ("backend=vulkan", "adapter=NAME").
 * @throws Fail (exit 4) when the library cannot be loaded.
 */
export function instance(flags: readonly string[] = []): GPU {
  const key = flags.join(" ");
  let gpu = pins.instances.get(key);
  if (!gpu) {
    gpu = load().create([...flags]);
    pins.instances.set(key, gpu);
  }
  return gpu;
}

function load(): Dawn {
  if (pins.dawn) return pins.dawn;
  // Vulkan's loader complains on stderr without it, and nothing is ever written there.
  if (process.platform === "linux") process.env.XDG_RUNTIME_DIR ||= tmpdir();
  const module = { exports: {} as Dawn };
  const path = library();
  try {
    process.dlopen(module, path);
  } catch (error) {
    throw new Fail("The WebGPU library cannot be loaded", {
      why: error instanceof Error ? error.message : String(error),
      fix: "run `whet doctor`",
      exit: Exit.gpu,
      cause: error,
    });
  }
  pins.dawn = module.exports;
  Object.assign(globalThis, pins.dawn.globals);
  return pins.dawn;
}

function library(): string {
  const target = process.platform === "darwin"
    ? "darwin-universal"
    : `${process.platform}-${process.arch}`;
  const path = join(import.meta.dirname, "../../node_modules/webgpu/dist", target, "dawn.node");
  if (!existsSync(path)) {
    throw new Fail(`There is no WebGPU library for ${target}`, {
      fix: "run `bun install`",
      exit: Exit.gpu,
    });
  }
  return path;
}
