/** A base model as a quantised training saw it: an adapter learnt to correct these weights, not the file's. */
import type { Quant } from "../architectures/model.ts";
import type { FloatType } from "../formats/encode.ts";
import { sizeOf } from "../formats/encode.ts";
import { dequantiseRows, quantiseStoredRows } from "../formats/int8.ts";
import { type ModelFolder, storedAs } from "../formats/model_folder.ts";
import { BLOCK, dequantise, nest, type Nf4, quantiseStored, unnest } from "../formats/nf4.ts";

/** Numbers quantised at once; a multiple of a block. */
const PIECE = 4 * 2 ** 20;

/**
 * The folder with its linear layers rounded to what `quant` keeps of them, bit for bit as loading does it;
 * everything else as it is. Numbers are made when they are read; the codes of one matrix are held.
 * @param linears last names of the layers that loading quantises
 * @throws Fail (data), when read, for a number that is not finite
 */
export function asTrained<F extends ModelFolder>(
  folder: F,
  quant: Quant,
  linears: readonly string[],
): F {
  const rounded = (name: string) => {
    const [module, part] = name.split(".").slice(-2);
    return part === "weight" && linears.includes(module!);
  };
  let held: { name: string; nf4: Nf4 } | undefined;
  const nf4 = (name: string, double: boolean) => {
    if (held?.name !== name) held = { name, nf4: whole(folder, name, double) };
    return held.nf4;
  };
  const readF32 = (name: string, from = 0, to?: number): Float32Array => {
    if (!rounded(name)) return folder.readF32(name, from, to);
    const { shape, dtype } = folder.tensors.get(name)!, end = to ?? shape[0]!;
    const width = shape[1]!, bytes = width * sizeOf[dtype as FloatType];
    if (quant.type === "nf4") {
      return dequantise(nf4(name, quant.double), (end - from) * width, from * width);
    }
    const stored = folder.readBytes(name, from * bytes, end * bytes);
    return dequantiseRows(quantiseStoredRows(stored, dtype as FloatType, width, name), width);
  };
  const made = storedAs(folder.tensors, readF32);
  const readBytes: ModelFolder["readBytes"] = (name, ...rest) =>
    (rounded(name) ? made : folder.readBytes)(name, ...rest);
  return { ...folder, readF32, readBytes };
}

/** The codes of a matrix, and its scales after their own rounding. */
function whole(folder: ModelFolder, name: string, double: boolean): Nf4 {
  const { shape, dtype } = folder.tensors.get(name)!, type = dtype as FloatType;
  const n = shape.reduce((a, b) => a * b, 1), size = sizeOf[type];
  const codes = new Uint8Array(Math.ceil(n / 2)), scales = new Float32Array(Math.ceil(n / BLOCK));
  for (let from = 0; from < n; from += PIECE) {
    const to = Math.min(n, from + PIECE);
    const made = quantiseStored(folder.readBytes(name, from * size, to * size), type, name);
    codes.set(made.codes, from / 2);
    scales.set(made.scales, from / BLOCK);
  }
  return { codes, scales: double ? unnest(nest(scales)) : scales };
}
