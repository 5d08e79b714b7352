/** Model folders whose weights bitsandbytes saved in 4 or 8 bits, seen as if they were not quantised. */
import type { BlockDType } from "./gguf_planes.ts";
import { type FloatType, sizeOf } from "./encode.ts";
import { dequantiseRows, type Int8 } from "./int8.ts";
import { int8OwnerOf, int8Rows, isSavedInt8, readInt8 } from "./int8_state.ts";
import { dequantise } from "./nf4.ts";
import { isSavedNf4, ownerOf, readNf4, type SavedNf4, savedShape } from "./nf4_state.ts";
import { type ModelFolder, type ModelTensor, storedAs } from "./model_folder.ts";

/** A model folder, and what of it is quantised: the rest is absent where nothing is. */
export interface QuantisedFolder extends ModelFolder {
  /** How the tensors of these names are kept. */
  readonly quantised?: ReadonlyMap<string, "nf4" | "int8" | BlockDType>;
  /** Whether the scales of a tensor in NF4 are quantised too. @throws Fail (data) */
  double?(name: string): boolean;
  /** The codes and scales of a tensor in NF4. @throws Fail (data) when a part is wrong */
  nf4?(name: string): SavedNf4;
  /** The codes and scales of rows of a matrix in 8 bits; all unless told. @throws Fail (data) */
  int8?(name: string, from?: number, to?: number): Int8;
  /** Rows of a matrix in blocks of GGUF, as the file has them. */
  blocks?(name: string, from: number, to: number): Uint8Array;
}

const dtypes = { float32: "F32", bfloat16: "BF16", float16: "F16" } as const;

const plain = (shape: readonly number[], dtype: FloatType): ModelTensor => ({
  shape,
  dtype,
  bytes: shape.reduce((a, b) => a * b, sizeOf[dtype]),
});

/**
 * The folder with every tensor under its own name, shape and first type, which for 8 bits is F16. Numbers
 * of a quantised one are made when they are read; its parts are no tensors of their own.
 * @throws Fail (data) when a tensor has parts of a quantised one but not those that say how to read them
 */
export function withQuantised(folder: ModelFolder): QuantisedFolder {
  const tensors = new Map<string, ModelTensor>(), quantised = new Map<string, "nf4" | "int8">();
  for (const [name, info] of folder.tensors) {
    const owner = ownerOf(name), rows = int8OwnerOf(name);
    if (owner !== undefined && folder.tensors.has(owner)) savedShape(folder, owner);
    else if (rows !== undefined && isSavedInt8(folder, rows)) continue;
    else if (isSavedNf4(folder, name)) {
      const { shape, dtype } = savedShape(folder, name);
      tensors.set(name, plain(shape, dtypes[dtype]));
      quantised.set(name, "nf4");
    } else if (isSavedInt8(folder, name)) {
      tensors.set(name, plain(int8Rows(folder, name).shape, "F16"));
      quantised.set(name, "int8");
    } else tensors.set(name, info);
  }
  if (quantised.size === 0) return folder;
  // Loading reads a tensor in pieces: the parts of the one that is being read are kept.
  let held: { name: string; saved: SavedNf4 } | undefined;
  const nf4 = (name: string) => {
    if (held?.name !== name) held = { name, saved: readNf4(folder, name) };
    return held.saved;
  };
  const double = (name: string) => savedShape(folder, name).double;
  const int8 = (name: string, from?: number, to?: number) => readInt8(folder, name, from, to);
  const readF32 = (name: string, from = 0, to?: number) => {
    const kind = quantised.get(name);
    if (!kind) return folder.readF32(name, from, to);
    const { shape } = tensors.get(name)!, width = shape.slice(1).reduce((a, b) => a * b, 1);
    return kind === "nf4"
      ? dequantise(nf4(name), ((to ?? shape[0]!) - from) * width, from * width)
      : dequantiseRows(int8(name, from, to), width);
  };
  const made = storedAs(tensors, readF32);
  const readBytes: ModelFolder["readBytes"] = (name, ...rest) =>
    (quantised.has(name) ? made : folder.readBytes)(name, ...rest);
  return { ...folder, tensors, quantised, double, nf4, int8, readF32, readBytes };
}
