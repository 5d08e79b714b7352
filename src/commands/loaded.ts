import { loadWeights, type Model, openModel } from "../architectures/model.ts";
import { Exit, Fail } from "../base/fail.ts";
import { humanBytes } from "../base/text.ts";
import { type Adapter, checkFit, readAdapter, scaling, targets } from "../formats/peft.ts";
import { Generator } from "../generate/generator.ts";
import type { Device } from "../gpu/device.ts";
import { Memory } from "../graph/memory.ts";
import type { Lora } from "../nn/net.ts";
import type { CommonSettings } from "../settings/common.ts";
import { openDevice } from "./gpu.ts";
import type { Io } from "./io.ts";

/** A model on a device, with its adapter on top of it where one was named. */
export interface Loaded extends Disposable {
  readonly model: Model;
  readonly device: Device;
  readonly memory: Memory;
  readonly adapted: { readonly lora?: Lora };
}

/**
 * Opens a model folder and an adapter, checks both, and only then opens the device and loads them.
 * @throws Fail (data) where one is broken or they do not fit, (gpu), (memory)
 */
export async function loadModel(
  settings: Pick<CommonSettings, "device" | "backend"> & { model: string; adapter?: string },
  io: Io,
): Promise<Loaded> {
  const model = await openModel(settings.model);
  let adapter: Adapter | undefined;
  if (settings.adapter !== undefined) {
    adapter = await readAdapter(settings.adapter);
    checkFit(adapter, model.folder.tensors);
  }
  const adapted = adapter ? { lora: loraOf(adapter, settings.adapter!) } : {};
  const { frozen, trained } = Generator.tensors(model, adapted);
  const parameters = [...model.folder.tensors.values()]
    .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const device = await openDevice(settings, parameters, io);
  const memory = new Memory(device);
  memory.layOut(trained);
  await loadWeights(model, memory, frozen, (done, total) => {
    io.progress(`loading ${humanBytes(done)} of ${humanBytes(total)}`);
  });
  io.progress();
  for (const t of trained) memory.write(t, adapter!.tensors.get(t.name)!.data);
  return {
    model,
    device,
    memory,
    adapted,
    [Symbol.dispose]() {
      memory.free();
      device.close();
      model.folder.close();
    },
  };
}

/** The adapter as the layers record it. Layers of different rank or scale cannot be recorded. */
export function loraOf({ config, tensors }: Adapter, path: string): Lora {
  const modules = [...tensors.keys()].filter((name) => name.endsWith(".lora_A.weight"))
    .map((name) => name.replace(/\.lora_A\.weight$/, ""));
  const odd = modules.find((module) =>
    scaling(config, module) !== scaling(config, modules[0]!) ||
    tensors.get(`${module}.lora_A.weight`)!.shape[0] !==
      tensors.get(`${modules[0]}.lora_A.weight`)!.shape[0]
  );
  if (odd !== undefined) {
    throw new Fail(`${path}: ${odd} has another rank or scale than ${modules[0]}`, {
      why: "this version computes with one rank and one scale for all layers",
      fix: "use an adapter without rank_pattern and alpha_pattern",
      exit: Exit.data,
    });
  }
  const adapted = new Set(modules);
  return {
    rank: tensors.get(`${modules[0]}.lora_A.weight`)!.shape[0]!,
    alpha: config.lora_alpha,
    rslora: config.use_rslora,
    dropout: 0,
    targets: (module) => adapted.has(module) && targets(config, module),
  };
}
