import { Exit, Fail } from "../base/fail.ts";

/** GGUF metadata value types in the order of their numbers in the file (ggml gguf.h, version 3). */
export const valueTypes = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  "array",
  "u64",
  "i64",
  "f64",
] as const;
export type ValueType = (typeof valueTypes)[number];
export type ScalarType = Exclude<ValueType, "array">;
export type Scalar = number | bigint | boolean | string;

/** One metadata value with its type in the file. u64 and i64 are bigint, arrays are never nested. */
export type GgufValue =
  | { readonly type: ScalarType; readonly value: Scalar }
  | { readonly type: "array"; readonly of: ScalarType; readonly value: readonly Scalar[] };

/** Metadata in file order. */
export type Metadata = Map<string, GgufValue>;

export const u32 = (value: number): GgufValue => ({ type: "u32", value });
export const i32 = (value: number): GgufValue => ({ type: "i32", value });
export const f32 = (value: number): GgufValue => ({ type: "f32", value });
export const bool = (value: boolean): GgufValue => ({ type: "bool", value });
export const text = (value: string): GgufValue => ({ type: "string", value });
export const array = (of: ScalarType, value: readonly Scalar[]): GgufValue => ({
  type: "array",
  of,
  value,
});

const integers: ReadonlySet<ValueType> = new Set([
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "u64",
  "i64",
]);

function wrongType(key: string, wanted: string, found: GgufValue): Fail {
  const kind = found.type === "array" ? `an array of ${found.of}` : `a ${found.type}`;
  return new Fail(`GGUF key ${key} is ${kind}, expected ${wanted}`, {
    why: "the file's metadata does not follow the GGUF conventions",
    fix: "convert or download the model again",
    exit: Exit.data,
  });
}

/** The integer at `key`, undefined when absent; a Fail for another type or outside [min, max]. */
export function integerAt(
  metadata: Metadata,
  key: string,
  { min = 0, max = 0x7fff_ffff }: { min?: number; max?: number } = {},
): number | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type === "array" || !integers.has(found.type)) {
    throw wrongType(key, "an integer", found);
  }
  const value = Number(found.value);
  if (value < min || value > max) {
    throw new Fail(`GGUF key ${key} is ${String(found.value)}, expected ${min} to ${max}`, {
      exit: Exit.data,
    });
  }
  return value;
}

/** The finite number at `key` (f32 or f64), undefined when absent. */
export function numberAt(metadata: Metadata, key: string): number | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type !== "f32" && found.type !== "f64") throw wrongType(key, "a float", found);
  const value = Number(found.value);
  if (!Number.isFinite(value)) throw new Fail(`GGUF key ${key} is ${value}`, { exit: Exit.data });
  return value;
}

/** The boolean at `key`, undefined when absent. */
export function booleanAt(metadata: Metadata, key: string): boolean | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type !== "bool") throw wrongType(key, "a bool", found);
  return found.value === true;
}

/** The string at `key`, undefined when absent. */
export function stringAt(metadata: Metadata, key: string): string | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type !== "string") throw wrongType(key, "a string", found);
  return String(found.value);
}

/** The array of strings at `key`, undefined when absent. */
export function stringsAt(metadata: Metadata, key: string): readonly string[] | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type !== "array" || found.of !== "string") {
    throw wrongType(key, "an array of strings", found);
  }
  return found.value as readonly string[];
}

/** The array of integers (at most 32 bits) or floats at `key`, undefined when absent. */
export function numbersAt(metadata: Metadata, key: string): readonly number[] | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (
    found.type !== "array" || found.of === "string" || found.of === "bool" || found.of === "u64" ||
    found.of === "i64"
  ) {
    throw wrongType(key, "an array of numbers", found);
  }
  return found.value as readonly number[];
}
