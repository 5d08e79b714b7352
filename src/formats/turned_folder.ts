/** Model folders whose linear layers are stored [in, out], as GPT-2's Conv1D has them, seen as [out, in]. */
import { toF32 } from "../base/bits.ts";
import { type FloatType, sizeOf } from "./encode.ts";
import type { ModelFolder, ModelTensor } from "./model_folder.ts";

/** The transpose of a row-major matrix of numbers of `size` bytes. */
export function turn(bytes: Uint8Array, rows: number, columns: number, size: number): Uint8Array {
  const out = new Uint8Array(bytes.length), Words = size === 2 ? Uint16Array : Uint32Array;
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const from = new Words(aligned.buffer as ArrayBuffer, aligned.byteOffset, rows * columns);
  const to = new Words(out.buffer);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      to[column * rows + row] = from[row * columns + column]!;
    }
  }
  return out;
}

/**
 * The same folder with the matrices of these names the other way round: shapes and numbers. Those that are
 * quantised are left as they are, for bitsandbytes stores them [out, in]. What is written anew must be
 * turned back: `turned` of the folder says where.
 */
export function turned(folder: ModelFolder, names: RegExp): ModelFolder {
  const tensors = new Map<string, ModelTensor>(folder.tensors), own = new Set<string>();
  for (const [name, { dtype, shape, bytes }] of folder.tensors) {
    if (!names.test(name) || shape.length !== 2 || !(dtype in sizeOf)) continue;
    own.add(name);
    tensors.set(name, { dtype, bytes, shape: shape.toReversed() });
  }
  // Loading reads a tensor in pieces: the one that is being read is kept.
  let held: { name: string; bytes: Uint8Array } | undefined;
  const readBytes = (name: string, from = 0, to?: number, into?: Uint8Array) => {
    if (!own.has(name)) return folder.readBytes(name, from, to, into);
    if (held?.name !== name) {
      const { shape, dtype } = folder.tensors.get(name)!, [rows, columns] = shape;
      const bytes = turn(folder.readBytes(name), rows!, columns!, sizeOf[dtype as FloatType]);
      held = { name, bytes };
    }
    return held.bytes.subarray(from, to);
  };
  const readF32 = (name: string, from = 0, to?: number) => {
    if (!own.has(name)) return folder.readF32(name, from, to);
    const { shape, dtype } = tensors.get(name)!, row = shape[1]! * sizeOf[dtype as FloatType];
    return toF32(readBytes(name, from * row, (to ?? shape[0]!) * row).slice(), dtype);
  };
  return {
    ...folder,
    tensors,
    readBytes,
    readF32,
    turned: (name) => names.test(name),
    [Symbol.dispose]: () => folder.close(),
  };
}
