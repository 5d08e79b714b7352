import { describe, expect, test } from "bun:test";
import {
  amdMemory,
  appleMemory,
  availableMemory,
  budgetOf,
  groupLimits,
  linuxMemory,
  type Machine,
  nvidiaMemory,
  windowsMemory,
} from "./available.ts";

const MiB = 2 ** 20, GiB = 2 ** 30;
const meminfo = "MemTotal:       24683884 kB\nMemFree:         1048576 kB\n" +
  "MemAvailable:   16777216 kB\nBuffers:           80000 kB\n";

/** A machine that answers from tables. */
function machine(
  platform: string,
  files: Readonly<Record<string, string>> = {},
  programs: Readonly<Record<string, string>> = {},
): Machine {
  return {
    platform,
    run: ([name]) => programs[name!],
    read: (path) => files[path],
    list: (path) => [
      ...new Set(
        Object.keys(files).filter((file) => file.startsWith(`${path}/`))
          .map((file) => file.slice(path.length + 1).split("/")[0]!),
      ),
    ],
    ram: { free: 3 * GiB, total: 8 * GiB },
  };
}

describe("what each system tells", () => {
  test("nvidia-smi: every card, what others use taken off; messages are no cards", () => {
    const cards = nvidiaMemory("NVIDIA RTX A2000, 12282, 512\nNVIDIA H100 PCIe, 81559, 0\n");
    expect(cards).toEqual([
      {
        free: 11770 * MiB,
        total: 12282 * MiB,
        source: "nvidia-smi (NVIDIA RTX A2000)",
        gpu: true,
      },
      { free: 81559 * MiB, total: 81559 * MiB, source: "nvidia-smi (NVIDIA H100 PCIe)", gpu: true },
    ]);
    expect(nvidiaMemory("NVIDIA-SMI has failed because it couldn't communicate")).toEqual([]);
    expect(nvidiaMemory("NVIDIA GB10, [N/A], [N/A]\n")).toEqual([]);
  });
  test("amdgpu: bytes in two files, the second may be missing", () => {
    expect(amdMemory("17163091968\n", "1163091968\n", "card1")).toEqual({
      free: 16e9,
      total: 17163091968,
      source: "the amdgpu driver (card1)",
      gpu: true,
    });
    expect(amdMemory("536870912\n", undefined, "card0")!.free).toBe(2 ** 29);
    expect(amdMemory(undefined, undefined, "card0")).toBeUndefined();
  });
  test("Apple silicon: two thirds, three quarters above 36 GB, or what the owner set", () => {
    const of = (gb: number, limit = "") => appleMemory(`hw.memsize: ${gb * GiB}\n${limit}`)!;
    expect(of(16).free).toBe(Math.floor((16 * GiB * 2) / 3));
    expect(of(36).free).toBe(24 * GiB);
    expect(of(64, "iogpu.wired_limit_mb: 0\n").free).toBe(48 * GiB);
    expect(of(16, "iogpu.wired_limit_mb: 14000\n")).toMatchObject({
      free: 14000 * MiB,
      source: "sysctl iogpu.wired_limit_mb",
    });
    expect(appleMemory("")).toBeUndefined();
  });
  test("Windows: the largest adapter of the registry", () => {
    const key = "HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Control\\Class\\{4d36e968}\\000";
    const line = (hex: string) => `    HardwareInformation.qwMemorySize    REG_QWORD    ${hex}\r\n`;
    const text = `\r\n${key}0\r\n${line("0x8000000")}\r\n${key}1\r\n${line("0x200000000")}`;
    expect(windowsMemory(text)!.free).toBe(8 * GiB);
    expect(windowsMemory("End of search: 0 match(es) found.")).toBeUndefined();
  });
  test("Linux: what is available, not what is free", () => {
    expect(linuxMemory(meminfo)).toEqual({ free: 16 * GiB, total: 24683884 * 1024 });
    expect(linuxMemory("")).toBeUndefined();
  });
});

describe("control groups", () => {
  const read = (files: Readonly<Record<string, string>>) => (path: string) => files[path];
  test("version 2: the group and those around it, its file cache counted as free", () => {
    const files = {
      "/sys/fs/cgroup/a/b/memory.max": "max\n",
      "/sys/fs/cgroup/a/b/memory.current": "1000\n",
      "/sys/fs/cgroup/a/memory.max": `${4 * GiB}\n`,
      "/sys/fs/cgroup/a/memory.current": `${3 * GiB}\n`,
      "/sys/fs/cgroup/a/memory.stat": `anon 5\ninactive_file ${GiB}\n`,
    };
    expect(groupLimits("0::/a/b\n", read(files))).toEqual([
      { free: 2 * GiB, total: 4 * GiB, source: "the limit of this container", gpu: false },
    ]);
  });
  test("version 1, where no limit is a very large number", () => {
    const at = "/sys/fs/cgroup/memory";
    const files = {
      [`${at}/docker/x/memory.limit_in_bytes`]: `${2 * GiB}\n`,
      [`${at}/docker/x/memory.usage_in_bytes`]: `${GiB}\n`,
      [`${at}/docker/x/memory.stat`]: `cache 9\ntotal_inactive_file ${GiB / 2}\n`,
      [`${at}/memory.limit_in_bytes`]: "9223372036854771712\n",
      [`${at}/memory.usage_in_bytes`]: "5\n",
    };
    const groups = "11:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n0::/init\n";
    expect(groupLimits(groups, read(files)).map(({ free }) => free)).toEqual([1.5 * GiB]);
  });
  test("none", () => {
    expect(groupLimits("", () => undefined)).toEqual([]);
  });
});

describe("the device meant", () => {
  const nvidia = { "nvidia-smi": "NVIDIA A, 8192, 0\nNVIDIA B, 4096, 96\n" };
  const linux = machine("linux", { "/proc/meminfo": meminfo }, nvidia);
  test("auto is the first GPU, a name its own, software the processor", () => {
    expect(availableMemory("auto", linux).total).toBe(8 * GiB);
    expect(availableMemory("nvidia b", linux).free).toBe(4000 * MiB);
    expect(availableMemory("software", linux)).toEqual({
      free: 16 * GiB,
      total: 24683884 * 1024,
      source: "the system",
      gpu: false,
    });
  });
  test("amdgpu where there is no nvidia-smi", () => {
    const files = {
      "/sys/class/drm/card0-DP-1/status": "connected",
      "/sys/class/drm/card1/device/mem_info_vram_total": "8589934592\n",
    };
    expect(availableMemory("auto", machine("linux", files)).source).toBe(
      "the amdgpu driver (card1)",
    );
  });
  test("a container's limit counts where it is the smaller one", () => {
    const files = {
      "/proc/meminfo": meminfo,
      "/proc/self/cgroup": "0::/\n",
      "/sys/fs/cgroup/memory.max": `${2 * GiB}\n`,
      "/sys/fs/cgroup/memory.current": "0\n",
    };
    expect(availableMemory("auto", machine("linux", files))).toMatchObject({ free: 2 * GiB });
  });
  test("without any source, what the runtime says", () => {
    expect(availableMemory("auto", machine("freebsd"))).toMatchObject({ free: 3 * GiB });
    expect(budgetOf(availableMemory("auto", machine("win32")))).toBe(Math.floor(0.85 * 3 * GiB));
  });
  test("this machine has some", () => {
    const { free, total } = availableMemory();
    expect(free).toBeGreaterThan(2 ** 26);
    expect(free).toBeLessThanOrEqual(total);
  });
});
