import { type BlockDType, isBlocks, planeBytes } from "./gguf_planes.ts";

/**
 * Matrices of codes that share scales: 8 bits with an f32 scale a row (see `layInt8`), 4 bits with an f32
 * scale for every 64 or, in nf4_double, one of 8 bits that has a scale of its own (see `layNf4`), and the
 * block types of GGUF (see `layBlocks`).
 */
export type CodedDType = "int8" | "nf4" | "nf4_double" | BlockDType;

/** Bytes of such a matrix on the device, whole u32 words; undefined for numbers that stand for themselves. */
export function codedBytes(shape: readonly number[], dtype: string): number | undefined {
  const width = shape.slice(1).reduce((a, b) => a * b, 1), n = shape[0]! * width;
  const words = (...parts: number[]) => parts.reduce((sum, part) => sum + Math.ceil(part), 0);
  if (dtype === "int8") return 4 * words(n / 4, shape[0]!);
  if (dtype === "nf4") return 4 * words(n / 8, n / 64);
  if (dtype === "nf4_double") return 16 * words(words(n / 8, 260, n / 2 ** 14, n / 256) / 4);
  return isBlocks(dtype) ? planeBytes(dtype, shape[0]!, width) : undefined;
}
