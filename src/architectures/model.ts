import { Exit, Fail } from "../base/fail.ts";
import { type ModelFolder, openModel as openFolder } from "../formats/model_folder.ts";
import { requireTask, withTask } from "../formats/task_folder.ts";
import { turned } from "../formats/turned_folder.ts";
import type { Storage } from "../../kernels/common/stored.ts";
import { Graph } from "../graph/graph.ts";
import { renamed } from "../formats/renamed_folder.ts";
import { type QuantisedFolder, withQuantised } from "../formats/quantised_folder.ts";
import { count, type DType, show, type Tensor } from "../graph/tensor.ts";
import { type Lora, Net } from "../nn/net.ts";
import type { ModelSpec } from "./architecture.ts";
import { architectureOf, knownArchitecture } from "./mod.ts";
import { PackedSequences } from "./sequences.ts";

export { loadWeights } from "./load.ts";

/** How the linear layers of a frozen base are kept on the device; the head and embeddings never are. */
export type Quant =
  | { readonly type: "int8" }
  | {
    readonly type: "nf4";
    /** The scales of blocks are rounded to 8 bits, as double quantisation does. */
    readonly double: boolean;
  };

/** A base model on disk. */
export interface Model extends ModelSpec {
  readonly folder: QuantisedFolder;
  /** Undefined: as the checkpoint has them, which may be quantised too. */
  readonly quant?: Quant;
  /** How the activations of the forward pass are stored; f32 unless told. */
  readonly compute?: Storage;
}

/** What a config.json describes. Throws Fail for an unknown family or a setting it cannot run. */
export function specOf(json: Record<string, unknown>): ModelSpec {
  const architecture = architectureOf(json), config = architecture.config(json);
  return { architecture, config, sizes: architecture.sizes(config) };
}

/** Checkpoint entries that carry no weight: buffers that old exporters wrote along. */
const IGNORED = /(rotary_emb\.inv_freq|attention\.bias|attention\.masked_bias)$/;

/**
 * Opens a Hugging Face model folder and compares it with what its architecture will read: missing,
 * extra and misshapen weights are found here, before a byte reaches the GPU.
 * @param task whose adapter is merged in, of a model that has adapters for tasks
 * @throws Fail (exit 3) naming up to 20 tensors; (usage) for a task that the model does not have
 */
export async function openModel(dir: string, task?: string): Promise<Model> {
  return modelOf(await openCheckpoint(dir, task));
}

/** A model folder with its tensors as the layers of its family name and lay them; of any family. */
export async function openCheckpoint(dir: string, task?: string): Promise<ModelFolder> {
  const folder = await openFolder(dir), family = knownArchitecture(folder.config);
  const tasks = family?.tasks?.(folder.config), checkpoint = family?.checkpoint;
  requireTask(tasks, task);
  if (!checkpoint) return folder;
  const named = renamed(tasks ? withTask(folder, tasks, task) : folder, checkpoint);
  return checkpoint.turned ? turned(named, checkpoint.turned) : named;
}

/** The same for weights that are open already, from whatever file; closed when they do not fit. */
export function modelOf(folder: QuantisedFolder): Model {
  try {
    const spec = specOf(folder.config);
    const model: Model = { folder: withQuantised(folder), ...spec };
    compare(model);
    return model;
  } catch (error) {
    folder.close();
    throw error;
  }
}

/** The layers' view of the model on a new graph. */
export function netOf(
  model: Model,
  g: Graph,
  o: { positions: number; full?: boolean; lora?: Lora; chunk?: number },
): Net {
  const { positions, full, lora, chunk } = o;
  return new Net(g, positions, (name) => storage(model, name), full, lora, chunk, model.compute);
}

/** The type a base matrix is kept in on the device: what the checkpoint has, or what `quant` says. */
function storage(model: Model, name: string): DType {
  const [module, part] = name.split(".").slice(-2);
  const linear = part === "weight" && model.architecture.linears.includes(module!);
  const kept = model.folder.quantised?.get(name);
  const wanted = linear && model.quant ? model.quant : kept && { type: kept, double: false };
  if (wanted?.type === "nf4") {
    const double = kept === "nf4" ? model.folder.double!(name) : wanted.double;
    return double ? "nf4_double" : "nf4";
  }
  if (wanted) return wanted.type;
  const found = model.folder.tensors.get(name);
  switch (found?.dtype) {
    case "F16":
      return "f16";
    case "BF16":
      return "bf16";
    default:
      return "f32"; // also what is missing: `compare` names it
  }
}

/** Numbers in all weights of a model, buffers that old exporters wrote along included. */
export const parametersOf = ({ folder }: Pick<Model, "folder">): number =>
  [...folder.tensors.values()].reduce((sum, { shape }) => sum + count(shape), 0);

/** Every base weight the architecture reads, by checkpoint name, with its shape. */
export function manifest(model: ModelSpec): Tensor[] {
  const g = new Graph(), net = new Net(g, 1, () => "f32");
  new PackedSequences(g, model.sizes, 1).hidden(model, net);
  model.architecture.head?.(net, model.config);
  return g.all("frozen");
}

function compare(model: Model): void {
  const wanted = new Map(manifest(model).map((t) => [t.name, t]));
  const { tensors, dir } = model.folder;
  const wrong: string[] = [];
  for (const [name, t] of wanted) {
    const found = tensors.get(name);
    if (!found) wrong.push(`missing: ${show(t)}`);
    else if (String(found.shape) !== String(t.shape)) {
      wrong.push(
        `shape: ${name} is [${found.shape.join(", ")}], config.json makes it [${
          t.shape.join(", ")
        }]`,
      );
    } else if (!["F32", "F16", "BF16"].includes(found.dtype)) {
      wrong.push(`type: ${name} is ${found.dtype}; F32, F16 and BF16 can be read`);
    }
  }
  const tied = (name: string) => name === "lm_head.weight" && !wanted.has(name);
  for (const name of tensors.keys()) {
    if (!wanted.has(name) && !IGNORED.test(name) && !tied(name)) {
      wrong.push(`not part of the model: ${name}`);
    }
  }
  if (wrong.length === 0) return;
  const lines = wrong.slice(0, 20);
  if (wrong.length > 20) lines.push(`and ${wrong.length - 20} more`);
  throw new Fail(
    `${dir}: the weights are not those of the ${model.architecture.modelType} model in config.json`,
    {
      why: lines.join("\n"),
      fix: "fetch the folder again; config.json and the safetensors files must belong together",
      exit: Exit.data,
    },
  );
}
