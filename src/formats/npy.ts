/** NumPy .npy files, versions 1 to 3: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
import { readFile } from "node:fs/promises";
import { Exit, Fail } from "../base/fail.ts";

const kinds = {
  "<f4": Float32Array,
  "<f8": Float64Array,
  "<i4": Int32Array,
  "<i8": BigInt64Array,
  "|u1": Uint8Array,
} as const;
type Kind = keyof typeof kinds;

export interface Npy {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;
}

/**
 * Reads the bytes of a .npy file: row-major arrays of f4, f8, i4, i8 (as bigint) or u1.
 * @param file its name, for errors
 * @throws Fail (exit 3)
 */
export function parseNpy(bytes: Uint8Array, file: string): Npy {
  const bad = (what: string) => new Fail(`${file}: ${what}`, { exit: Exit.data });
  const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
  if (bytes.length < 10 || magic.some((b, i) => bytes[i] !== b)) throw bad("not a .npy file");
  const wide = bytes[6]! > 1;
  if (bytes[6]! < 1 || bytes[6]! > 3 || (wide && bytes.length < 12)) throw bad("unknown version");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = wide ? 12 : 10;
  const end = start + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  if (end > bytes.length) throw bad("the header is cut short");
  const header = new TextDecoder().decode(bytes.subarray(start, end));
  const found =
    /^\{'descr': '([^']*)', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\), \}\s*$/
      .exec(header);
  if (!found) throw bad(`unexpected header ${JSON.stringify(header.slice(0, 200))}`);
  const [, kind = "", order, dims = ""] = found;
  if (!Object.hasOwn(kinds, kind)) throw bad(`arrays of type ${kind} are not read`);
  if (order === "True") throw bad("column-major arrays are not read");
  const shape = dims.split(",").map((n) => n.trim()).filter((n) => n !== "").map(Number);
  const type = kinds[kind as Kind];
  const count = shape.reduce((a, b) => a * b, 1);
  if (count * type.BYTES_PER_ELEMENT !== bytes.length - end) {
    throw bad(`${bytes.length - end} bytes of data for shape [${shape}] of ${kind}`);
  }
  const data = new Uint8Array(bytes.subarray(end));
  return { shape, data: new type(data.buffer) };
}

/** Reads a .npy file; see {@link parseNpy}. */
export async function readNpy(path: string): Promise<Npy> {
  return parseNpy(new Uint8Array(await readFile(path)), path);
}
