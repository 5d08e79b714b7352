import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { assetFolder, isBuilt, packed, packedName } from "../base/assets.ts";
import { cacheRoots, type Packed, unpack } from "../base/cache.ts";
import { Exit, Fail } from "../base/fail.ts";
import { pollGently } from "./polling.ts";
import { renameHost } from "./windows.ts";

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
  const errors: string[] = [];
  for (const place of places()) {
    try {
      process.dlopen(module, join(place(), "dawn.node"));
      Object.assign(globalThis, module.exports.globals);
      pollGently();
      return pins.dawn = module.exports;
    } catch (error) {
      errors.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new Fail("The WebGPU library cannot be loaded", {
    why: errors.join("; "),
    fix: remedy(errors.join()),
    exit: Exit.gpu,
  });
}

/** Folders that hold dawn.node, each made when it is asked for, best first. */
function places(): (() => string)[] {
  if (!isBuilt()) {
    const target = process.platform === "darwin" ? "universal" : process.arch;
    return [() => assetFolder(`node_modules/webgpu/dist/${process.platform}-${target}`)];
  }
  const host = basename(process.execPath);
  const files = packed("dawn").map((file) =>
    process.platform === "win32" && file.name === "dawn.node" ? hosted(file, host) : file
  );
  // The program's own name is inside the file on Windows, so it belongs to the folder's name.
  const name = packedName("dawn", files) + (process.platform === "win32" ? `-${host}` : "");
  return cacheRoots().map((root) => () => {
    try {
      return unpack(root, name, files);
    } catch (error) {
      throw new Error(`${root}: ${error instanceof Error ? error.message : error}`);
    }
  });
}

function hosted(file: Packed, host: string): Packed {
  let bytes: Uint8Array | undefined;
  return { name: file.name, bytes: () => bytes ??= renameHost(file.bytes(), host) };
}

function remedy(errors: string): string {
  if (!isBuilt()) return "run `bun install`";
  if (/GLIBC|libstdc\+\+/.test(errors)) {
    return "use a system with glibc 2.34 and libstdc++ 12 or newer (Debian 12, Ubuntu 22.04)";
  }
  if (/ERR_DLOPEN_FAILED|LoadLibrary/.test(errors) && process.platform === "win32") {
    return "install the Visual C++ 2015-2022 redistributable";
  }
  return "set WHET_CACHE to a folder that can be written and from which programs may run";
}
