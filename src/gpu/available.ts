import { readdirSync, readFileSync } from "node:fs";
import { freemem, totalmem } from "node:os";
import { join } from "node:path";

/** Memory that a device on this machine has. WebGPU does not tell it, so the system is asked. */
export interface Available {
  /** Bytes not in use by others now. */
  readonly free: number;
  readonly total: number;
  /** Where this was read: "nvidia-smi (NVIDIA RTX A2000)". */
  readonly source: string;
  /** Whether it is the memory of a GPU; else the processor's, which a software adapter computes in. */
  readonly gpu: boolean;
}

/**
 * The share of free memory that a run may take: what the desktop and the driver need later is not known,
 * and some drivers swap in silence where they should refuse.
 */
export const SHARE = 0.85;

/** Bytes that a run may take of what is available. */
export const budgetOf = ({ free }: Available) => Math.floor(free * SHARE);

/** How the system is asked; tests answer in its place. */
export interface Machine {
  readonly platform: string;
  /** A program's output, or undefined where it is missing or fails. */
  run(command: readonly string[]): string | undefined;
  /** A file's text, or undefined where it cannot be read. */
  read(path: string): string | undefined;
  list(path: string): readonly string[];
  /** RAM as the runtime sees it: what is left where no better source exists. */
  readonly ram: { readonly free: number; readonly total: number };
}

/**
 * The memory of the device that `--device` means, without opening it: the first GPU of whichever driver
 * tells its memory, else the processor's.
 */
export function availableMemory(device = "auto", machine: Machine = thisMachine): Available {
  const gpu = device === "software" ? undefined : gpuMemory(device, machine);
  return gpu ?? mainMemory(machine);
}

function gpuMemory(device: string, machine: Machine): Available | undefined {
  if (machine.platform === "darwin") {
    const text = machine.run(["sysctl", "hw.memsize", "iogpu.wired_limit_mb"]);
    return text === undefined ? undefined : appleMemory(text);
  }
  const cards = nvidiaMemory(machine.run(NVIDIA_SMI) ?? "");
  const named = cards.find(({ source }) => source.toLowerCase().includes(device.toLowerCase()));
  if (named ?? cards[0]) return named ?? cards[0];
  if (machine.platform === "win32") return windowsMemory(machine.run(REGISTRY) ?? "");
  const drm = "/sys/class/drm";
  for (const card of machine.list(drm).filter((name) => /^card\d+$/.test(name))) {
    const at = join(drm, card, "device");
    const found = amdMemory(
      machine.read(join(at, "mem_info_vram_total")),
      machine.read(join(at, "mem_info_vram_used")),
      card,
    );
    if (found) return found;
  }
  return undefined;
}

const NVIDIA_SMI = [
  "nvidia-smi",
  "--query-gpu=name,memory.total,memory.used",
  "--format=csv,noheader,nounits",
];
/** The class of display adapters. */
const REGISTRY = [
  "reg",
  "query",
  "HKLM\\SYSTEM\\CurrentControlSet\\Control\\Class\\{4d36e968-e325-11ce-bfc1-08002be10318}",
  "/s",
  "/v",
  "HardwareInformation.qwMemorySize",
];

const MiB = 2 ** 20, GiB = 2 ** 30;

/** Every card in nvidia-smi's CSV of name, total and used MiB. */
export function nvidiaMemory(csv: string): Available[] {
  return csv.split("\n").flatMap((line) => {
    const found = /^(.+), (\d+), (\d+)\s*$/.exec(line);
    if (!found) return [];
    const total = Number(found[2]) * MiB;
    const source = `nvidia-smi (${found[1]!.trim()})`;
    return [{ free: total - Number(found[3]) * MiB, total, source, gpu: true }];
  });
}

/** From the two files of the amdgpu driver, each a number of bytes. */
export function amdMemory(
  total: string | undefined,
  used: string | undefined,
  card: string,
): Available | undefined {
  const bytes = Number(total?.trim() || NaN);
  if (!(bytes > 0)) return undefined;
  const free = bytes - (Number(used?.trim()) || 0);
  return { free, total: bytes, source: `the amdgpu driver (${card})`, gpu: true };
}

/**
 * From sysctl on Apple silicon: the GPU shares the machine's memory and may hold two thirds of it, three
 * quarters on machines with more than 36 GB, or what the owner set as iogpu.wired_limit_mb.
 */
export function appleMemory(sysctl: string): Available | undefined {
  const value = (name: string) =>
    Number(new RegExp(`^${name}: (\\d+)$`, "m").exec(sysctl)?.[1] ?? NaN);
  const total = value("hw\\.memsize"), limit = value("iogpu\\.wired_limit_mb");
  if (!(total > 0)) return undefined;
  return limit > 0
    ? { free: limit * MiB, total, source: "sysctl iogpu.wired_limit_mb", gpu: true }
    : {
      free: Math.floor(total <= 36 * GiB ? (total * 2) / 3 : (total * 3) / 4),
      total,
      source: "sysctl hw.memsize",
      gpu: true,
    };
}

/** From the registry's memory size of each display adapter: the largest, which is the one preferred. */
export function windowsMemory(query: string): Available | undefined {
  const sizes = [...query.matchAll(/qwMemorySize\s+REG_QWORD\s+0x([0-9a-f]+)/gi)]
    .map((found) => Number.parseInt(found[1]!, 16));
  const total = Math.max(0, ...sizes);
  if (total === 0) return undefined;
  return { free: total, total, source: "the registry's HardwareInformation", gpu: true };
}

/** What this process may still take of the machine's own memory, its control groups included. */
function mainMemory(machine: Machine): Available {
  const { free, total } = (machine.platform === "linux" &&
    linuxMemory(machine.read("/proc/meminfo") ?? "")) || machine.ram;
  const all: Available = { free, total, source: "the system", gpu: false };
  const limits = groupLimits(machine.read("/proc/self/cgroup") ?? "", machine.read);
  return limits.reduce((least, limit) => limit.free < least.free ? limit : least, all);
}

/** MemTotal and MemAvailable of /proc/meminfo, bytes. */
export function linuxMemory(meminfo: string): { free: number; total: number } | undefined {
  const value = (name: string) =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(meminfo)?.[1] ?? NaN);
  const total = value("MemTotal"), free = value("MemAvailable");
  return total > 0 && free > 0 ? { free, total } : undefined;
}

/** The limits of the control groups (version 2 or 1) that hold this process, and of those around them. */
export function groupLimits(
  groups: string,
  read: (path: string) => string | undefined,
): Available[] {
  const root = "/sys/fs/cgroup";
  const second = /^0::(\/.*)$/m.exec(groups)?.[1];
  const first = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(\/.*)$/m.exec(groups)?.[1];
  const files = first === undefined
    ? { at: second, below: root, most: "memory.max", now: "memory.current", cache: "inactive_file" }
    : {
      at: first,
      below: join(root, "memory"),
      most: "memory.limit_in_bytes",
      now: "memory.usage_in_bytes",
      cache: "total_inactive_file",
    };
  const found: Available[] = [];
  // A container often sees its own group as the root, so that the path names nothing: then the root.
  for (let at = files.at ?? "/";; at = join(at, "..")) {
    const number = (name: string) => Number(read(join(files.below, at, name))?.trim() || NaN);
    const total = number(files.most), used = number(files.now);
    if (total > 0 && total < 2 ** 53 && used >= 0) {
      const stat = read(join(files.below, at, "memory.stat")) ?? "";
      const cache = Number(new RegExp(`^${files.cache} (\\d+)$`, "m").exec(stat)?.[1] ?? 0);
      const free = Math.max(0, total - used + cache);
      found.push({ free, total, source: "the limit of this container", gpu: false });
    }
    if (at === "/") return found;
  }
}

const thisMachine: Machine = {
  platform: process.platform,
  run(command) {
    try {
      const { exitCode, stdout } = Bun.spawnSync([...command], {
        stderr: "ignore",
        timeout: 5000, // a driver that hangs must not hang a plan
      });
      return exitCode === 0 || stdout.length > 0 ? stdout.toString() : undefined;
    } catch {
      return undefined; // not installed
    }
  },
  read(path) {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return undefined;
    }
  },
  list(path) {
    try {
      return readdirSync(path).sort();
    } catch {
      return [];
    }
  },
  get ram() {
    return { free: freemem(), total: totalmem() };
  },
};
