import { Exit, Fail } from "../base/fail.ts";
import { existsSync } from "node:fs";
import { instance } from "./dawn.ts";
import { captureStderr } from "./stderr.ts";

export interface Listed {
  readonly name: string;
  readonly backend: string;
}

export interface Chosen extends Listed {
  readonly adapter: GPUAdapter;
}

/** The adapters of this machine, in Dawn's order, and what its drivers said meanwhile. */
export async function listAdapters(backend?: string): Promise<{ listed: Listed[]; said: string }> {
  // Dawn lists its adapters in the error for a name that none has.
  const gpu = instance([...flags(backend), "adapter=(list)"]);
  const { value, text: said } = captureStderr(() => gpu.requestAdapter());
  const list = await value.then(() => "", String);
  const listed = [...list.matchAll(/backend: '([^']*)', name: '([^\n]*)'/g)].map((match) => ({
    backend: match[1]!,
    name: match[2]!,
  }));
  return { listed, said };
}

/**
 * The adapter that `device` means: "auto" is the first hardware adapter, else a software one.
 * @throws Fail (exit 4) when there is none.
 */
export async function chooseAdapter(device = "auto", backend?: string): Promise<Chosen> {
  const native = nativeGpu();
  if (native) {
    const adapter = await native.requestAdapter();
    if (adapter) return { adapter, name: adapter.info.description, backend: "wgpu" };
    throw missing(device, [], "");
  }
  const { listed, said } = await listAdapters(backend);
  const wanted = listed.filter((entry, index) =>
    device === "auto" || device === "software" ||
    (/^\d+$/.test(device)
      ? index === Number(device)
      : entry.name.toLowerCase().includes(device.toLowerCase()))
  );
  let fallback: Chosen | undefined;
  for (const entry of wanted) {
    const gpu = instance([...flags(entry.backend), `adapter=${entry.name}`]);
    const { value } = captureStderr(() => gpu.requestAdapter());
    const adapter = await value.catch(() => null);
    if (!adapter) continue;
    const software = adapter.info.isFallbackAdapter;
    if (device === "auto" ? !software : device !== "software" || software) {
      return { ...entry, adapter };
    }
    if (software) fallback ??= { ...entry, adapter };
  }
  if (fallback && device === "auto") return fallback;
  throw missing(device, listed, said);
}

/** The WebGPU of a runtime that has its own: Deno, where the tests meet a second implementation. */
function nativeGpu(): GPU | undefined {
  return process.versions.deno ? globalThis.navigator.gpu : undefined;
}

/**
 * Matrix units are an experiment of Dawn's, and NVIDIA's f16 waits for a test that its driver fails
 * (crbug.com/42251215): both have to be asked for by name.
 */
const TOGGLES = "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia";

function flags(backend?: string): string[] {
  return backend && backend !== "local" ? [TOGGLES, `backend=${backend}`] : [TOGGLES];
}

function missing(device: string, listed: Listed[], said: string): Fail {
  if (listed.length > 0) {
    const names = listed.map(({ name }, index) => `${index}: ${name}`).join("; ");
    return new Fail(`No GPU adapter matches --device ${device}`, {
      why: `found ${names}`,
      fix: "use --device auto, an index or part of one of these names",
      exit: Exit.gpu,
    });
  }
  return new Fail("No GPU adapter was found", { ...diagnose(said), exit: Exit.gpu });
}

/** Cause and remedy when no adapter exists, from what the drivers said on stderr. */
export function diagnose(
  said: string,
  platform: string = process.platform,
  nvidia: boolean = existsSync("/dev/nvidiactl"),
): { why: string; fix: string } {
  const install = "sudo apt-get install libvulkan1 mesa-vulkan-drivers";
  if (platform === "darwin") {
    return { why: "Metal offers no device", fix: "run on a Mac with a Metal GPU, not over a VM" };
  }
  if (platform === "win32") {
    return {
      why: "neither Direct3D 12 nor Vulkan offers a device",
      fix: "update the graphics driver and install the Visual C++ 2015-2022 redistributable",
    };
  }
  if (nvidia) {
    return {
      why: "this machine has an NVIDIA GPU, but Vulkan does not see its driver",
      fix: "in a container set NVIDIA_DRIVER_CAPABILITIES to include graphics; elsewhere install " +
        "libvulkan1 and check that nvidia_icd.json is in /usr/share/vulkan/icd.d or /etc/vulkan",
    };
  }
  if (/libvulkan\.so/.test(said)) {
    return { why: "the Vulkan loader, libvulkan.so.1, is not installed", fix: install };
  }
  if (/ArrayDynamicIndexing required/.test(said)) {
    return {
      why: "the Vulkan driver is too old (Mesa 22.3 lacks dynamic indexing; 25.0 has it)",
      fix: "on Debian 12: sudo apt-get install -t bookworm-backports mesa-vulkan-drivers",
    };
  }
  if (/no drivers|INCOMPATIBLE_DRIVER/.test(said)) {
    return { why: "Vulkan is installed but has no driver", fix: install };
  }
  return { why: said.trim().split("\n")[0] || "Vulkan offers no device", fix: install };
}
