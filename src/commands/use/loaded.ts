import type { Storage } from "../../../kernels/common/stored.ts";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { loadWeights, type Model, parametersOf } from "../../architectures/model.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { type Adapter, checkFit, readAdapter, scaling, targets } from "../../formats/peft.ts";
import { Generator } from "../../generate/generator.ts";
import type { Device } from "../../gpu/device.ts";
import { Memory } from "../../graph/memory.ts";
import type { Lora } from "../../nn/net.ts";
import { readRun } from "../../report/folder.ts";
import type { CommonSettings } from "../../settings/common.ts";
import { quantOf } from "../../settings/model.ts";
import { openBase } from "./base_model.ts";
import { openDevice } from "../machine/gpu.ts";
import type { Io } from "../io.ts";
import { loading } from "../progress.ts";
import { isGguf } from "./texts.ts";

/** A model and an adapter that fits it, on disk. */
export interface Opened extends Disposable {
  readonly model: Model;
  readonly adapter: Adapter | undefined;
  readonly adapted: { readonly lora?: Lora };
  /** The flag that would keep the base as it was when the adapter was trained; unset where it is so. */
  readonly unlike?: string;
}

/** The same on a device, its weights in memory. */
export interface Loaded extends Opened {
  readonly device: Device;
  readonly memory: Memory;
}

/**
 * Opens a model folder or GGUF file, and an adapter, and checks that they fit; the settings say how the
 * model's weights will be kept.
 * @throws Fail (data) where one is broken or they do not belong together
 */
export async function openBoth(
  settings: {
    model: string;
    adapter?: string;
    quant?: string;
    double_quant?: boolean;
    compute?: Storage;
    task?: string;
  },
): Promise<Opened> {
  const { model: path, adapter: adapterPath } = settings;
  const open = await openBase(path, settings.task);
  const model = { ...open, quant: quantOf(settings), compute: settings.compute };
  const adapter = adapterPath === undefined ? undefined : await readAdapter(adapterPath);
  if (adapter) {
    if (adapter.config.use_dora && settings.compute === "f16") {
      throw new Fail(`the adapter ${adapterPath} is of DoRA, which is computed in f32 only`, {
        fix: "leave --compute f16 out",
        exit: Exit.usage,
      });
    }
    checkFit(adapter, model.folder.tensors);
    checkBase(adapterPath!, path, model);
  }
  const unlike = adapter && otherQuant(adapterPath!, settings);
  return {
    unlike,
    model,
    adapter,
    adapted: adapter ? { lora: loraOf(adapter, adapterPath!) } : {},
    [Symbol.dispose]: () => model.folder.close(),
  };
}

/** Warns where the base is kept otherwise than when the adapter was trained. */
export function unlikeTold({ unlike }: Opened, io: Io): void {
  if (!unlike) return;
  const message = "the adapter was trained on a base whose weights were kept another way";
  io.warn("WH0309", `${message}; its answers may differ a little`, `add ${unlike}`);
}

/**
 * Puts what was opened on the device that the settings ask for, or on one that is open already and then
 * stays open.
 * @param tensors which weights are needed; those of a language model unless told
 * @throws Fail (gpu) (memory)
 */
export async function load(
  opened: Opened,
  settings: Pick<CommonSettings, "device" | "backend">,
  io: Io,
  shared?: Device,
  tensors = Generator.tensors,
): Promise<Loaded> {
  const { model, adapter, adapted } = opened;
  unlikeTold(opened, io);
  const { frozen, trained } = tensors(model, adapted);
  const device = shared ??
    await openDevice({ ...settings, compute: model.compute }, parametersOf(model), io);
  const memory = new Memory(device);
  memory.layOut(trained);
  await loadWeights(model, memory, frozen, loading(io));
  io.progress();
  for (const t of trained) memory.write(t, adapter!.tensors.get(t.name)!.data);
  return {
    ...opened,
    device,
    memory,
    [Symbol.dispose]() {
      memory.free();
      if (!shared) device.close();
      opened[Symbol.dispose]();
    },
  };
}

/** An adapter of a run says which base it was trained on: another one of the same shape is refused. */
function checkBase(adapter: string, path: string, model: Model) {
  if (isGguf(path) || !existsSync(join(adapter, "run.json"))) return;
  const { manifest } = readRun(adapter);
  const { sha256 } = manifest.model;
  if (sha256 === undefined || sha256 === model.folder.hash()) return;
  throw new Fail(`the adapter ${adapter} was trained on another model than ${path}`, {
    why: `its run.json names ${manifest.model.path} with hash ${
      sha256.slice(0, 12)
    }…, ${path} has ${model.folder.hash().slice(0, 12)}…`,
    fix: `use the base that it was trained on: -m ${manifest.model.path}`,
    exit: Exit.data,
  });
}

/** How the run that made an adapter kept its base, as a flag, where that is not how it is kept now. */
function otherQuant(
  adapter: string,
  { quant = "none", double_quant = false }: { quant?: string; double_quant?: boolean },
): string | undefined {
  if (!existsSync(join(adapter, "run.json"))) return undefined;
  const trained = { quant: "none", double_quant: false, ...readRun(adapter).manifest.settings };
  if (trained.quant === quant && trained.double_quant === double_quant) return undefined;
  return `--quant ${trained.quant}${trained.double_quant ? " --double-quant" : ""}`;
}

/** The adapter as the layers record it. Layers of different rank or scale cannot be recorded. */
function loraOf({ config, tensors }: Adapter, path: string): Lora {
  const modules = [...tensors.keys()].filter((name) => name.endsWith(".lora_A.weight"))
    .map((name) => name.replace(/\.lora_A\.weight$/, ""));
  const rank = (module: string) => tensors.get(`${module}.lora_A.weight`)!.shape[0]!;
  const first = modules[0]!;
  const odd = modules.find((module) =>
    scaling(config, module) !== scaling(config, first) || rank(module) !== rank(first)
  );
  if (odd !== undefined) {
    throw new Fail(`${path}: ${odd} has another rank or scale than ${first}`, {
      why: "this version computes with one rank and one scale for all layers",
      fix: "use an adapter without rank_pattern and alpha_pattern",
      exit: Exit.data,
    });
  }
  const adapted = new Set(modules);
  const root = config.use_rslora ? Math.sqrt(rank(first)) : rank(first);
  return {
    rank: rank(first),
    alpha: scaling(config, first) * root,
    rslora: config.use_rslora,
    dropout: 0,
    dora: config.use_dora,
    targets: (module) => adapted.has(module) && targets(config, module),
  };
}
