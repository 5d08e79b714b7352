import { parametersOf } from "../../architectures/model.ts";
import { cpus, loadavg } from "node:os";
import { commit } from "../../base/assets.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { columns } from "../../base/text.ts";
import type { Choice, Device, Tuned } from "../../gpu/device.ts";
import { type BenchSettings, benchSettings } from "../../settings/bench.ts";
import type { CommonSettings } from "../../settings/common.ts";
import { quantOf } from "../../settings/model.ts";
import type { BenchCase, Product } from "./cases.ts";
import type { BenchResult, KernelResult } from "./results.ts";
import type { Roofline } from "./roofline.ts";
import type { WayCase } from "./ways.ts";
import { command } from "../command.ts";
import { openDevice } from "../machine/gpu.ts";
import type { Io } from "../io.ts";
import { version } from "../version.ts";

type Settings = BenchSettings & CommonSettings;

export const bench = command({
  stops: true,
  examples: [
    "whet bench",
    'whet bench --roofline "RTX 4090" --only matmul,attention',
    "whet bench -m ./model --train --quant nf4 --double-quant",
    "whet bench -m ./model -a ./run --json",
    "whet bench --tune --shapes 2048x4096x4096",
    "whet bench --compare bench/results/before.json --save",
  ],
  details:
    "Without a model it measures the kernels of training at the sizes of real models; with one, " +
    "generation, or with --train training steps on random tokens. Times are medians; ± is the standard " +
    'deviation; "a CPU s" is GFLOP/s for a second of processor time, on a software adapter. The ' +
    "roofline is the shortest time in which a device could do the arithmetic and move the bytes: of its " +
    "maker's figures where they are known, else of two simple kernels measured here; what stays in " +
    "caches can be faster than that. A software adapter gets smaller sizes.",
  settings: benchSettings,
  async run(settings, io) {
    const [{ namedRoofline }, results, { parseProduct }] = await Promise.all([
      import("./roofline.ts"),
      import("./results.ts"),
      import("./cases.ts"),
    ]);
    // Everything that can be wrong in what was typed, before a device is opened.
    const { roofline } = settings;
    const named = roofline === undefined || roofline === "measured"
      ? undefined
      : namedRoofline(roofline);
    const before = settings.compare === undefined
      ? undefined
      : results.readResult(settings.compare);
    const sizes = settings.shapes?.map((text) => parseProduct(text) ?? badShape(text));
    const load = loadavg()[0]!;
    if (load > cpus().length / 2) {
      io.note(
        `Other work keeps ${load.toFixed(1)} of ${cpus().length} processors busy: times vary.`,
      );
    }
    const measured = settings.model === undefined
      ? await kernels(settings, sizes, named, io)
      : settings.train
      ? await training(settings, settings.model, named, io)
      : await generation(settings, settings.model, named, io);
    const kind = settings.model === undefined
      ? "kernels"
      : settings.train
      ? "training"
      : "generation";
    const plain: BenchResult = {
      format: 1,
      kind,
      date: new Date().toISOString(),
      whet: { version, commit: commit() },
      command: ["whet", ...process.argv.slice(2)],
      cpus: cpus().length,
      load,
      ...measured,
    };
    const result = before ? { ...plain, compared: results.compare(plain, before) } : plain;
    io.result(result);
    io.out(`${measured.kernels ? "\n" : ""}${results.told(result)}`);
    if (settings.save === undefined || io.stop.requested) return;
    const path = await results.saveResult(settings.save, result);
    io.note(`\nwritten: ${path}.md and .json`);
  },
});

function badShape(text: string): never {
  throw new Fail(`"${text}" is no size of a matrix product`, {
    why: "M, N and K are whole numbers from 1 to 1,048,576, joined by x",
    fix: "write for example --shapes 1024x1024x1024,1x4096x2048",
    exit: Exit.usage,
  });
}

type Measured = Pick<
  BenchResult,
  "device" | "roofline" | "kernels" | "dispatch" | "training" | "generation"
>;

/** The roofline that was asked for, the known one of this adapter, or a measured one. */
async function roofOf(
  device: Device,
  settings: Settings,
  named: Roofline | undefined,
  io: Io,
): Promise<Roofline> {
  if (named) return named;
  const { matchRoofline } = await import("./roofline.ts");
  const known = settings.roofline === "measured"
    ? undefined
    : matchRoofline(device.capabilities.adapter);
  if (known) return known;
  io.progress("measuring the peaks of this device");
  const [{ measurePeaks }, { patienceOf }] = await Promise.all([
    import("./peaks.ts"),
    import("./kernels.ts"),
  ]);
  return await measurePeaks(device, patienceOf(device.capabilities.software, settings.rounds));
}

async function kernels(
  settings: Settings,
  sizes: readonly Product[] | undefined,
  named: Roofline | undefined,
  io: Io,
): Promise<Measured> {
  const [
    { allCases, products },
    { measureCase, patienceOf },
    { kernelHeads, kernelRow },
    { measureDispatches },
    { everyWay, fastest },
  ] = await Promise.all([
    import("./cases.ts"),
    import("./kernels.ts"),
    import("./results.ts"),
    import("./dispatches.ts"),
    import("./ways.ts"),
  ]);
  const device = await openDevice(settings, 0, io);
  try {
    const { software } = device.capabilities;
    const patience = patienceOf(software, settings.rounds);
    const can = settings.portable
      ? { ...device.capabilities, subgroups: false, subgroupSize: undefined }
      : device.capabilities;
    const roof = await roofOf(device, settings, named, io);
    const wanted = (group: string) => settings.only?.some((one) => one === group) ?? true;
    const cases = [
      ...sizes ? sizes.flatMap((size) => [...products(size)]) : allCases(software),
    ].filter(({ group }) => wanted(group));
    const chosen: readonly (BenchCase & Partial<WayCase>)[] = settings.tune
      ? cases.flatMap((one) => everyWay(one, can))
      : cases;
    const width = kernelHeads.map((head, i) =>
      Math.max(head.length, 8, ...chosen.map((c) => [c.name, c.shape][i]?.length ?? 0))
    );
    const empty = [
      ...software ? [] : ["a CPU s"],
      ...roof.matrixFlops === undefined ? ["of matrix units"] : [],
    ];
    const tell = (cells: readonly string[]) => {
      const padded = cells.map((cell, i) =>
        i < 2 ? cell.padEnd(width[i]!) : cell.padStart(width[i]!)
      ).filter((_, i) => !empty.includes(kernelHeads[i]!));
      io.out(padded.join("  ").trimEnd());
    };
    if (chosen.length > 0) tell(kernelHeads);
    const found: KernelResult[] = [], timed: { choice: Choice; seconds: number }[] = [];
    for (const one of chosen) {
      if (io.stop.requested) break;
      io.progress(`${found.length + 1} of ${chosen.length}: ${one.name} ${one.shape}`);
      const result = await measureCase(device, one, roof, patience, one.can ?? can);
      if (one.choice) timed.push({ choice: one.choice, seconds: result.best_s });
      found.push(result);
      tell(kernelRow(result));
    }
    io.progress();
    if (settings.tune && !io.stop.requested) await keep(device, fastest(timed), io);
    const dispatch =
      sizes === undefined && !settings.tune && wanted("dispatch") && !io.stop.requested
        ? await measureDispatches(device, patience.rounds)
        : undefined;
    return { device: device.capabilities, roofline: roof, kernels: found, dispatch };
  } finally {
    device.close();
  }
}

/** Puts the fastest kernels into the user's cache. */
async function keep(device: Device, tuned: Tuned, io: Io) {
  const { writeTuned } = await import("../../gpu/tuned.ts");
  const path = await writeTuned(device.capabilities, tuned);
  if (path === undefined) {
    throw new Fail("the fastest kernels cannot be kept", {
      why: "no folder of the cache can be written",
      fix: "give another folder: --cache-dir DIR, or WHET_CACHE in the environment",
      exit: Exit.disk,
    });
  }
  io.out("\nThe fastest, from now on");
  io.out(columns(Object.entries(tuned).map(([kind, way]) => [`  ${kind}`, way])));
  io.note(`written: ${path}`);
}

async function training(
  settings: Settings,
  path: string,
  named: Roofline | undefined,
  io: Io,
): Promise<Measured> {
  const [{ openBase }, { measureTraining, prepareTraining }] = await Promise.all([
    import("../use/base_model.ts"),
    import("./training.ts"),
  ]);
  const model = { ...await openBase(path), quant: quantOf(settings) };
  try {
    const device = await openDevice(settings, parametersOf(model), io);
    try {
      const prepared = prepareTraining(model, settings, device.capabilities.software);
      const roof = await roofOf(device, settings, named, io);
      const result = await measureTraining(device, prepared, roof, io);
      return { device: device.capabilities, roofline: roof, training: result };
    } finally {
      device.close();
    }
  } finally {
    model.folder.close();
  }
}

async function generation(
  settings: Settings,
  path: string,
  named: Roofline | undefined,
  io: Io,
): Promise<Measured> {
  const [{ load, openBoth }, { lengths, measureGeneration }] = await Promise.all([
    import("../use/loaded.ts"),
    import("./generation.ts"),
  ]);
  const opened = await openBoth({ ...settings, model: path });
  using loaded = await load(opened, settings, io);
  const { device } = loaded;
  const long = lengths(opened, settings, device.capabilities.software);
  const roof = await roofOf(device, settings, named, io);
  return {
    device: device.capabilities,
    roofline: roof,
    generation: await measureGeneration(loaded, settings, long, io),
  };
}
