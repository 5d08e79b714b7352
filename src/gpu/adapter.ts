import { Exit, Fail } from "../base/fail.ts";
import { instance } from "./dawn.ts";

export interface Listed {
  readonly name: string;
  readonly backend: string;
}

export interface Chosen extends Listed {
  readonly adapter: GPUAdapter;
}

/** The adapters of this machine, in Dawn's order. */
export async function listAdapters(backend?: string): Promise<Listed[]> {
  // Dawn lists its adapters in the error for a name that none has.
  const gpu = instance([...flags(backend), "adapter=(list)"]);
  const text = await gpu.requestAdapter().then(() => "", String);
  return [...text.matchAll(/backend: '([^']*)', name: '([^\n]*)'/g)].map((match) => ({
    backend: match[1]!,
    name: match[2]!,
  }));
}

/**
 * The adapter that `device` means: "auto" is the first hardware adapter, else a software one.
 * @throws Fail (exit 4) when there is none.
 */
export async function chooseAdapter(device = "auto", backend?: string): Promise<Chosen> {
  const listed = backend === "null" ? [] : await listAdapters(backend);
  const wanted = listed.filter((entry, index) =>
    device === "auto" || device === "software" ||
    (/^\d+$/.test(device)
      ? index === Number(device)
      : entry.name.toLowerCase().includes(device.toLowerCase()))
  );
  let fallback: Chosen | undefined;
  for (const entry of wanted) {
    const gpu = instance([...flags(entry.backend), `adapter=${entry.name}`]);
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" })
      .catch(() => null);
    if (!adapter) continue;
    const software = adapter.info.isFallbackAdapter;
    if (device === "auto" ? !software : device !== "software" || software) {
      return { ...entry, adapter };
    }
    if (software) fallback ??= { ...entry, adapter };
  }
  if (fallback && device === "auto") return fallback;
  if (backend === "null") {
    const adapter = await instance(flags(backend)).requestAdapter();
    if (adapter) return { adapter, name: "null", backend };
  }
  throw missing(device, listed);
}

function flags(backend?: string): string[] {
  return backend ? [`backend=${backend}`] : [];
}

function missing(device: string, listed: Listed[]): Fail {
  if (listed.length > 0) {
    const names = listed.map(({ name }, index) => `${index}: ${name}`).join("; ");
    return new Fail(`No GPU adapter matches --device ${device}`, {
      why: `found ${names}`,
      fix: "use --device auto, an index or part of one of these names",
      exit: Exit.gpu,
    });
  }
  const { why, fix } = advice();
  return new Fail("No GPU adapter was found", { why, fix, exit: Exit.gpu });
}

function advice(): { why: string; fix: string } {
  switch (process.platform) {
    case "darwin":
      return { why: "Metal offers no device", fix: "check that this Mac has a Metal GPU" };
    case "win32":
      return {
        why: "neither Direct3D 12 nor Vulkan offers a device",
        fix: "update the graphics driver and install the Visual C++ 2015-2022 redistributable",
      };
    default:
      return {
        why: "Vulkan offers no device",
        fix: "install the GPU's Vulkan driver, or a software one: " +
          "apt-get install libvulkan1 mesa-vulkan-drivers (Debian 12 needs Mesa from backports)",
      };
  }
}
