/** Model folders whose weights bitsandbytes saved in NF4, seen as if they were not quantised. */
import { type Dtype, fromF32 } from "../base/bits.ts";
import { dequantise } from "./nf4.ts";
import { isSavedNf4, ownerOf, readNf4, type SavedNf4, savedShape } from "./nf4_state.ts";
import type { ModelFolder, ModelTensor } from "./model_folder.ts";

/** A model folder, and what of it is quantised: both are absent where nothing is. */
export interface Nf4Folder extends ModelFolder {
  /** The quantised tensors by name, and whether their scales are quantised too. */
  readonly quantised?: ReadonlyMap<string, { readonly double: boolean }>;
  /** The codes and scales of a quantised tensor. @throws Fail (data) when a part is wrong */
  nf4?(name: string): SavedNf4;
}

const dtypes = { float32: "F32", bfloat16: "BF16", float16: "F16" } as const;

/**
 * The folder with every tensor under its own name, shape and first type. Numbers of a quantised one are
 * made when they are read; its parts are no tensors of their own.
 * @throws Fail (data) when a tensor has parts of a quantised one but no state that says how to read them
 */
export function withNf4(folder: ModelFolder): Nf4Folder {
  const tensors = new Map<string, ModelTensor>(),
    quantised = new Map<string, { double: boolean }>();
  for (const [name, info] of folder.tensors) {
    const owner = ownerOf(name);
    if (owner !== undefined && folder.tensors.has(owner)) savedShape(folder, owner);
    else if (!isSavedNf4(folder, name)) tensors.set(name, info);
    else {
      const { shape, dtype, double } = savedShape(folder, name);
      tensors.set(name, { ...info, shape, dtype: dtypes[dtype] });
      quantised.set(name, { double });
    }
  }
  if (quantised.size === 0) return folder;
  // Loading reads a tensor in pieces: the parts of the one that is being read are kept.
  let held: { name: string; saved: SavedNf4 } | undefined;
  const nf4 = (name: string) => {
    if (held?.name !== name) held = { name, saved: readNf4(folder, name) };
    return held.saved;
  };
  const readF32 = (name: string, from = 0, to?: number) => {
    if (!quantised.has(name)) return folder.readF32(name, from, to);
    const saved = nf4(name);
    const width = saved.shape.slice(1).reduce((a, b) => a * b, 1);
    return dequantise(saved, ((to ?? saved.shape[0]!) - from) * width, from * width);
  };
  const readBytes = (name: string, from?: number, to?: number) => {
    if (!quantised.has(name)) return folder.readBytes(name, from, to);
    const dtype: Dtype = tensors.get(name)!.dtype;
    return fromF32(readF32(name), dtype as "F32" | "F16" | "BF16").slice(from, to);
  };
  return { ...folder, tensors, quantised, nf4, readF32, readBytes };
}
