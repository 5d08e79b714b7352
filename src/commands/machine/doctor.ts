import { accessSync, constants, existsSync, mkdirSync, rmSync, statfsSync } from "node:fs";
import { freemem, totalmem } from "node:os";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { commit } from "../../base/assets.ts";
import { cacheRoots } from "../../base/cache.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { columns, humanBytes, short } from "../../base/text.ts";
import { version } from "../version.ts";
import { listAdapters } from "../../gpu/adapter.ts";
import { type Capabilities, Device, type MatrixConfig } from "../../gpu/device.ts";
import { DISPATCH_LIMIT } from "../../gpu/pace.ts";
import { readTuned } from "../../gpu/tuned.ts";
import { field } from "../../settings/field.ts";
import type { KernelResult } from "../bench/results.ts";
import type { Roofline } from "../bench/roofline.ts";
import { command } from "../command.ts";
import { tell } from "../errors.ts";
import type { Io } from "../io.ts";
import type { OpNumerics } from "./numerics.ts";
import { roomOf } from "../train/room.ts";

/** One thing looked at: what was found, and what to do where it is not well. */
interface Finding {
  readonly what: string;
  readonly found: string;
  readonly ok: boolean;
  readonly fix?: string;
}

export const doctor = command({
  examples: ["whet doctor", "whet doctor --numerics", "whet doctor --device software --json"],
  details:
    "Opens the GPU that training would use and says what it can do; looks at memory, disk and " +
    "the cache. Exit code 4 where there is no usable GPU, 12 where this folder or the cache cannot be " +
    "written.",
  settings: z.strictObject({
    bench: field(z.boolean().default(false), {
      group: "Main",
      help: "measure arithmetic, memory and the matrix products of training; whet bench says more",
    }),
    require_gpu: field(z.boolean().default(false), {
      group: "Main",
      help: "exit 4 where only a software adapter was found",
    }),
    numerics: field(z.boolean().default(false), {
      group: "Main",
      help: "run every kernel, forward and backward, and compare with float64",
    }),
  }),
  async run({ device: wanted, backend, require_gpu, numerics, bench, debug }, io) {
    const { listed } = await listAdapters(backend).catch(() => ({ listed: [] }));
    let capabilities: Capabilities | undefined;
    let failure: Fail | undefined;
    let kernels: OpNumerics[] | undefined;
    let speed: Speed | undefined;
    let slow: [kernel: string, ms: number][] = [];
    try {
      const device = await Device.open({ device: wanted, backend });
      device.useTuned(readTuned(device.capabilities));
      capabilities = device.capabilities;
      if (numerics) kernels = await compared(device, io);
      if (bench) speed = await timed(device, io);
      slow = [...device.slow];
      device.close();
    } catch (error) {
      if (!(error instanceof Fail)) throw error;
      failure = error;
    }
    const findings = [...surroundings()];
    const room = roomOf({ device: capabilities?.software ? "software" : wanted });
    const wrong = kernels?.filter(({ ok }) => !ok) ?? [];
    const usable = capabilities !== undefined && wrong.length === 0 &&
      !(require_gpu && capabilities.software);
    io.result({
      ok: usable && findings.every((f) => f.ok),
      whet: { version, commit: commit() },
      platform: { os: process.platform, arch: process.arch, bun: Bun.version },
      adapters: listed,
      device: capabilities ?? null,
      memory: {
        total_bytes: totalmem(),
        free_bytes: freemem(),
        device: room.found,
        run_bytes: room.bytes,
      },
      slow_kernels: Object.fromEntries(slow),
      findings,
      ...(kernels ? { numerics: kernels } : {}),
      ...(speed ? { bench: speed } : {}),
    });

    io.out(`whet ${version} (${commit()}) on ${process.platform}-${process.arch}\n`);
    io.out("Adapters");
    if (listed.length === 0) io.out("  none");
    for (const [i, { name, backend }] of listed.entries()) io.out(`  ${i}  ${name} (${backend})`);
    if (capabilities) {
      io.out("\nThe one training uses");
      const memory: [string, string] = [
        "memory for a run",
        `${humanBytes(room.bytes)}: ${room.what}`,
      ];
      const facts = [...described(capabilities), memory];
      io.out(columns(facts.map(([name, text]) => [`  ${name}`, text])));
    }
    io.out("\nSurroundings");
    const mark = (ok: boolean) => io.ascii ? (ok ? "ok" : "!!") : ok ? "✓" : "✗";
    for (const { what, found, ok, fix } of findings) {
      io.out(`  ${mark(ok)} ${what}: ${found}${!ok && fix ? `\n      fix: ${fix}` : ""}`);
    }
    if (kernels) {
      io.out("\nKernels against float64: largest error, relative to the largest number");
      const row = ({ op, worst, repeats, ok }: OpNumerics) => [
        `  ${mark(ok)} ${op}`,
        worst === 0 ? "exact" : worst.toExponential(1),
        repeats ? "" : "differs from run to run",
      ];
      io.out(columns(kernels.map(row), [1]));
    }
    if (speed) {
      const { roofline: { flops, bandwidth }, products } = speed;
      io.out("\nSpeed");
      io.out(columns([
        ["  multiply-adds", `${short(flops / 1e9)} GFLOP/s in f32`],
        ["  memory", `${short(bandwidth / 1e9)} GB/s`],
        ...products.map(({ name, shape, flops_s, share }) => [
          `  ${name}`,
          `${short(flops_s! / 1e9)} GFLOP/s at ${shape}, ${
            Math.round(100 * share)
          } % of what these allow`,
        ]),
      ]));
    }
    if (slow.length > 0) {
      io.out(`\nOne dispatch takes longer than ${DISPATCH_LIMIT} ms: the screen may stand still`);
      io.out(columns(slow.map(([kernel, ms]) => [`  ${kernel}`, `${Math.round(ms)} ms`])));
    }
    if (failure) return tell(failure, io, debug);
    if (wrong.length > 0) {
      return tell(
        new Fail(`${wrong.map(({ op }) => op).join(", ")} give wrong numbers on this device`, {
          why: `${capabilities!.adapter}, driver ${capabilities!.driver}`,
          fix: "update the graphics driver; --device names another adapter, or software",
          exit: Exit.gpu,
        }),
        io,
        debug,
      );
    }
    if (!usable) {
      return tell(
        new Fail("only a software adapter was found", {
          why: `${capabilities!.adapter} computes on the processor`,
          fix: "install the graphics driver of this machine's GPU, or leave --require-gpu out",
          exit: Exit.gpu,
        }),
        io,
        debug,
      );
    }
    if (capabilities!.software) {
      io.note(
        "\nNo GPU: whet computes on the processor. That suits models under 100 M parameters; larger " +
          "ones\nstart only with --device software.",
      );
    }
    const bad = findings.filter((f) => !f.ok);
    if (bad.length === 0) return io.note("\nReady. Next: whet demo");
    return Exit.disk;
  },
});

async function compared(device: Device, io: Io): Promise<OpNumerics[]> {
  const { numerics } = await import("./numerics.ts");
  const found = await numerics(
    device,
    (done, of) => io.progress(`checking kernels: ${done} of ${of}`),
  );
  io.progress();
  return found;
}

interface Speed {
  readonly roofline: Roofline;
  readonly products: readonly KernelResult[];
}

/** The peaks of two simple kernels, and the products that training spends most time on. */
async function timed(device: Device, io: Io): Promise<Speed> {
  const [{ measurePeaks }, { measureCase, patienceOf }, { products }] = await Promise.all([
    import("../bench/peaks.ts"),
    import("../bench/kernels.ts"),
    import("../bench/cases.ts"),
  ]);
  const { software } = device.capabilities, patience = patienceOf(software);
  io.progress("measuring peaks");
  const roofline = await measurePeaks(device, patience);
  const n = software ? 1024 : 4096, found: KernelResult[] = [];
  for (const one of products({ M: n, N: n, K: n }, ["nt", "nn"], ["f16", "nf4"])) {
    io.progress(`measuring ${one.name}`);
    found.push(await measureCase(device, one, roofline, patience));
  }
  io.progress();
  return { roofline, products: found };
}

function described(c: Capabilities): [string, string][] {
  const yes = (flag: boolean) => flag ? "yes" : "no";
  return [
    ["name", c.adapter],
    ["driver", c.driver],
    [
      "graphics interface",
      `${c.backend}${c.software ? ", software (computes on the processor)" : ""}`,
    ],
    ["largest buffer", humanBytes(c.maxBuffer)],
    ["largest binding", humanBytes(c.maxBinding)],
    ["workgroup", `${c.maxWorkgroupSize} invocations, ${humanBytes(c.maxWorkgroupStorage)} shared`],
    ["f16", yes(c.f16)],
    ["subgroups", c.subgroups ? `yes${c.subgroupSize ? `, ${c.subgroupSize} lanes` : ""}` : "no"],
    ["matrix units", c.matrices.map(unit).join(", ") || "none"],
    ["timestamps", yes(c.timestamps)],
    ...tunedRows(c),
  ];
}

const unit = ({ component, result, M, N, K }: MatrixConfig) =>
  `${component} ${M}x${N}x${K}${result === component ? "" : ` to ${result}`}`;

/** The kernels that were measured to be the fastest. */
function tunedRows({ tuned, software }: Capabilities): [string, string][] {
  const rows = Object.entries(tuned).sort(([a], [b]) => a < b ? -1 : 1);
  const none = software
    ? "defaults; whet bench --tune measures"
    : "measured before the first training";
  if (rows.length === 0) return [["kernels", none]];
  return rows.map(([kind, way], i) => [i === 0 ? "kernels" : "", `${kind}: ${way}`]);
}

function* surroundings(): Generator<Finding> {
  const memory = totalmem();
  yield {
    what: "memory",
    found: `${humanBytes(memory)}, ${humanBytes(freemem())} free`,
    ok: memory >= 2 ** 31,
    fix: "a machine with more memory; below 2 GiB only the demo model fits",
  };
  const here = resolve(".");
  const writable = canWrite(here);
  yield {
    what: "this folder",
    found: `${here}, ${writable ? `${humanBytes(freeBytes(here))} free` : "cannot be written"}`,
    ok: writable && freeBytes(here) > 2 ** 28,
    fix: writable
      ? "free some space"
      : "cd to a folder that you can write, or give -o a path there",
  };
  const roots = cacheRoots();
  const usable = roots.find(canMake);
  yield {
    what: "cache",
    found: usable ?? `${roots.join(", ")} cannot be written`,
    ok: usable !== undefined,
    fix: "give another folder: --cache-dir DIR, or WHET_CACHE in the environment",
  };
}

/** Free bytes for this user on the disk of a folder. */
function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

function canWrite(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Whether the folder is there and writable, or can be made (it is not left behind). */
function canMake(folder: string): boolean {
  if (existsSync(folder)) return canWrite(folder);
  try {
    const first = mkdirSync(folder, { recursive: true });
    if (first) rmSync(first, { recursive: true });
    return true;
  } catch {
    return canWrite(dirname(folder));
  }
}
