/** NF4 tensors in safetensors files, under the names that bitsandbytes gives to their parts. */
import { type Dtype, toF32 } from "../base/bits.ts";
import { Exit, Fail } from "../base/fail.ts";
import { isObject, type Json, JsonError, parseJson } from "../base/strict_json.ts";
import {
  BLOCK,
  dynamicMap,
  NESTED_BLOCK,
  type NestedScales,
  type Nf4,
  nf4Code,
  unnest,
} from "./nf4.ts";
import type { TensorSource } from "./safetensors.ts";

/** The element type that the tensor had before, in torch's words. */
export type SourceType = "float32" | "bfloat16" | "float16";

/** A quantised tensor as it is in a file; `scales` are what `nested` stands for, where there is one. */
export interface SavedNf4 extends Nf4 {
  readonly shape: readonly number[];
  readonly dtype: SourceType;
  readonly nested?: NestedScales;
}

/** Where the parts are read from: a safetensors file, or a model folder. */
export interface Parts {
  readonly tensors: ReadonlyMap<
    string,
    { readonly dtype: Dtype; readonly shape: readonly number[] }
  >;
  readBytes(name: string): Uint8Array;
}

const STATE = "quant_state.bitsandbytes__nf4";
/** What is appended to the name of a quantised tensor. */
const SUFFIXES = ["absmax", "quant_map", "nested_absmax", "nested_quant_map", STATE];

/** Whether the tensor of this name is quantised in the file. */
export const isSavedNf4 = ({ tensors }: Pick<Parts, "tensors">, name: string): boolean =>
  tensors.has(`${name}.${STATE}`);

/** The tensor that a part belongs to: "P.weight" of "P.weight.absmax"; undefined for no part. */
export function ownerOf(name: string): string | undefined {
  const suffix = SUFFIXES.find((s) => name.endsWith(`.${s}`));
  return suffix && name.slice(0, -suffix.length - 1);
}

/**
 * Shape and first element type of a quantised tensor, and whether its scales are quantised too, without
 * reading its codes. @throws Fail (data)
 */
export function savedShape(
  from: Parts,
  name: string,
): Pick<SavedNf4, "shape" | "dtype"> & { readonly double: boolean } {
  const { shape, dtype, offset } = readState(from, name);
  return { shape, dtype, double: offset !== undefined };
}

/**
 * Reads a quantised tensor with its parts.
 * @throws Fail (data) when a part is missing, of another size than the shape asks for, or a table is not
 * that of NF4
 */
export function readNf4(from: Parts, name: string): SavedNf4 {
  const state = readState(from, name);
  const n = state.shape.reduce((a, b) => a * b, 1), blocks = Math.ceil(n / BLOCK);
  const codes = part(from, name, "U8", Math.ceil(n / 2));
  if (!same(f32(from, `${name}.quant_map`, 16), nf4Code)) {
    throw bad(`${name}.quant_map is not the table of NF4`, "fp4 and other tables cannot be read");
  }
  const { shape, dtype, offset } = state;
  if (offset === undefined) {
    return { shape, dtype, codes, scales: f32(from, `${name}.absmax`, blocks) };
  }
  const map = f32(from, `${name}.nested_quant_map`, 256);
  const nested = {
    codes: part(from, `${name}.absmax`, "U8", blocks),
    scales: f32(from, `${name}.nested_absmax`, Math.ceil(blocks / NESTED_BLOCK)),
    offset,
    ...(same(map, dynamicMap) ? {} : { map }),
  };
  return { shape, dtype, codes, nested, scales: unnest(nested) };
}

/** The parts of a quantised tensor, to be written into a safetensors file; its codes may stream. */
export function nf4Sources(
  name: string,
  saved: Omit<SavedNf4, "codes"> & { readonly codes: TensorSource["data"] },
): TensorSource[] {
  const { codes, scales, shape, dtype, nested } = saved;
  const size = Math.ceil(shape.reduce((a, b) => a * b, 1) / 2);
  const bytes = (x: Float32Array) => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
  const floats = (suffix: string, data: Float32Array): TensorSource => ({
    name: `${name}.${suffix}`,
    dtype: "F32",
    shape: [data.length],
    data: bytes(data),
  });
  const text = new TextEncoder().encode(stateText(shape, dtype, nested));
  return [
    { name, dtype: "U8", shape: [size, 1], data: codes },
    floats("quant_map", nf4Code),
    { name: `${name}.${STATE}`, dtype: "U8", shape: [text.length], data: text },
    ...(nested
      ? [
        { name: `${name}.absmax`, dtype: "U8", shape: [nested.codes.length], data: nested.codes },
        floats("nested_absmax", nested.scales),
        floats("nested_quant_map", nested.map ?? dynamicMap),
      ] as const
      : [floats("absmax", scales)]),
  ];
}

/** The state as Python's json.dumps writes it, so that the same tensor gives the same file. */
function stateText(shape: readonly number[], dtype: SourceType, nested?: NestedScales): string {
  const entries = [
    `"quant_type": "nf4"`,
    `"blocksize": ${BLOCK}`,
    `"dtype": "${dtype}"`,
    `"shape": [${shape.join(", ")}]`,
  ];
  if (nested) {
    entries.push(
      `"nested_blocksize": ${NESTED_BLOCK}`,
      `"nested_dtype": "float32"`,
      `"nested_offset": ${pythonFloat(nested.offset)}`,
    );
  }
  return `{${entries.join(", ")}}`;
}

/** A float as Python's repr: an exponent below 1e-4 and from 1e16 on, of two digits at least. */
function pythonFloat(v: number): string {
  const size = Math.abs(v);
  if (v !== 0 && (size < 1e-4 || size >= 1e16)) {
    return v.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  }
  return Number.isInteger(v) ? `${v}.0` : String(v);
}

interface State {
  readonly shape: readonly number[];
  readonly dtype: SourceType;
  /** Only under double quantisation. */
  readonly offset: number | undefined;
}

function readState(from: Parts, name: string): State {
  const key = `${name}.${STATE}`;
  const info = from.tensors.get(key);
  if (!info) throw bad(`${name} is quantised, but its ${STATE} is missing`);
  if (info.dtype !== "U8" || info.shape.length !== 1 || info.shape[0]! > 4096) {
    throw bad(`${key} is no short text`);
  }
  let json: Json;
  try {
    json = parseJson(from.readBytes(key), { maxDepth: 4, maxValues: 64 });
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw bad(`${key} is not valid JSON: ${error.message}`);
  }
  const wrong = (what: string) => bad(`${key}: ${what}`);
  if (!isObject(json)) throw wrong("is not an object");
  const { quant_type, blocksize, dtype, shape, nested_blocksize, nested_offset } = json;
  if (quant_type !== "nf4") throw wrong(`quant_type is ${JSON.stringify(quant_type)}, not "nf4"`);
  if (blocksize !== BLOCK) throw wrong(`blocks of ${JSON.stringify(blocksize)}, not of ${BLOCK}`);
  if (dtype !== "float32" && dtype !== "bfloat16" && dtype !== "float16") {
    throw wrong(`dtype is ${JSON.stringify(dtype)}`);
  }
  const natural = (v: Json) => typeof v === "number" && Number.isSafeInteger(v) && v > 0;
  if (!Array.isArray(shape) || shape.length === 0 || !shape.every(natural)) {
    throw wrong(`shape is ${JSON.stringify(shape)}`);
  }
  const nested = nested_blocksize !== undefined || nested_offset !== undefined;
  if (nested && nested_blocksize !== NESTED_BLOCK) {
    throw wrong(`nested blocks of ${JSON.stringify(nested_blocksize)}, not of ${NESTED_BLOCK}`);
  }
  if (nested && !(typeof nested_offset === "number" && Number.isFinite(nested_offset))) {
    throw wrong(`nested_offset is ${JSON.stringify(nested_offset)}`);
  }
  return {
    shape: shape as number[],
    dtype,
    offset: nested ? Math.fround(nested_offset as number) : undefined,
  };
}

function part({ tensors, readBytes }: Parts, name: string, dtype: Dtype, n: number): Uint8Array {
  const info = tensors.get(name);
  if (!info) throw bad(`${name} is missing`);
  const found = info.shape.reduce((a, b) => a * b, 1);
  if (info.dtype !== dtype || found !== n) {
    throw bad(`${name} is ${info.dtype}[${info.shape.join(", ")}], expected ${n} of ${dtype}`);
  }
  return readBytes(name);
}

function f32(from: Parts, name: string, n: number): Float32Array {
  const found = toF32(part(from, name, "F32", n), "F32");
  if (!found.every(Number.isFinite)) throw bad(`${name} holds a number that is not finite`);
  return found;
}

const same = (a: Float32Array, b: Float32Array) => a.every((v, i) => v === b[i]);

function bad(what: string, why?: string): Fail {
  return new Fail(what, {
    why: why ??
      "a 4-bit tensor needs its codes, absmax, quant_map and quant_state, each of its size",
    fix: "fetch the model again, or use one that is not quantised, with --quant nf4",
    exit: Exit.data,
  });
}
