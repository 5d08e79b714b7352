/** 8-bit matrices in safetensors files, under the names that bitsandbytes gives to their parts. */
import { toF32 } from "../base/bits.ts";
import { Exit, Fail } from "../base/fail.ts";
import type { Int8 } from "./int8.ts";
import type { Parts } from "./nf4_state.ts";
import type { TensorSource } from "./safetensors.ts";

/** Where a file with 8-bit matrices is read from. */
export interface Int8Parts extends Parts {
  readBytes(name: string, from?: number, to?: number): Uint8Array;
}

// "P.weight" has its parts beside it: "P.SCB", and "P.weight_format", which is 0 for row-major.
const WEIGHT = /\.weight$/;
const scalesOf = (name: string) => name.replace(WEIGHT, ".SCB");
const formatOf = (name: string) => name.replace(WEIGHT, ".weight_format");

/** Whether the tensor of this name is an 8-bit matrix. */
export const isSavedInt8 = ({ tensors }: Pick<Parts, "tensors">, name: string): boolean =>
  WEIGHT.test(name) && tensors.get(name)?.dtype === "I8";

/** The matrix that a part belongs to: "P.weight" of "P.SCB"; undefined for no part. */
export function int8OwnerOf(name: string): string | undefined {
  const part = /\.(SCB|weight_format)$/;
  return part.test(name) ? name.replace(part, ".weight") : undefined;
}

/**
 * Checks the parts of an 8-bit matrix, without reading its codes.
 * @returns its shape and absmax
 * @throws Fail (data) when one is missing, of another size, or says that the codes lie in another order
 */
export function int8Rows(
  from: Parts,
  name: string,
): { readonly shape: readonly [number, number]; readonly absmax: Float32Array } {
  const { shape } = from.tensors.get(name)!;
  if (shape.length !== 2) throw bad(`${name} is I8[${shape.join(", ")}], expected a matrix`);
  const [key, format] = [scalesOf(name), formatOf(name)];
  const info = from.tensors.get(key);
  if (!info) throw bad(`${name} is quantised, but its SCB is missing`);
  if (info.dtype !== "F32" || info.shape.reduce((a, b) => a * b, 1) !== shape[0]) {
    throw bad(`${key} is ${info.dtype}[${info.shape.join(", ")}], expected ${shape[0]} of F32`);
  }
  if (from.tensors.has(format) && from.readBytes(format).some((byte) => byte !== 0)) {
    throw bad(`${format} is not 0`, "only matrices in row-major order can be read");
  }
  const absmax = toF32(from.readBytes(key), "F32");
  if (!absmax.every((v) => Number.isFinite(v) && v >= 0)) {
    throw bad(`${key} holds a number that is no magnitude`);
  }
  return { shape: shape as [number, number], absmax };
}

/** Rows of an 8-bit matrix; all of them unless told. @throws Fail (data) as `int8Rows` */
export function readInt8(from: Int8Parts, name: string, rowFrom = 0, rowTo?: number): Int8 {
  const { shape: [rows, width], absmax } = int8Rows(from, name);
  const bytes = from.readBytes(name, rowFrom * width, (rowTo ?? rows) * width);
  return {
    codes: new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length),
    absmax: absmax.subarray(rowFrom, rowTo),
  };
}

/** The parts of an 8-bit matrix, to be written into a safetensors file; its codes may stream. */
export function int8Sources(
  name: string,
  { codes, absmax }: Omit<Int8, "codes"> & { readonly codes: Int8Array | TensorSource["data"] },
  shape: readonly number[],
): TensorSource[] {
  const bytes = (x: Int8Array | Float32Array) =>
    new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
  return [
    { name, dtype: "I8", shape, data: codes instanceof Int8Array ? bytes(codes) : codes },
    { name: scalesOf(name), dtype: "F32", shape: [absmax.length], data: bytes(absmax) },
    { name: formatOf(name), dtype: "U8", shape: [], data: new Uint8Array(1) },
  ];
}

function bad(what: string, why?: string): Fail {
  return new Fail(what, {
    why: why ?? "an 8-bit matrix needs its codes and, for each row, its SCB",
    fix: "fetch the model again, or use one that is not quantised, with --quant int8",
    exit: Exit.data,
  });
}
