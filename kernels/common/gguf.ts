import { blockCodec, blockType } from "../../src/formats/gguf_blocks.ts";
import { type BlockDType, layBlocks } from "../../src/formats/gguf_planes.ts";
import type { Source } from "../../src/gpu/link.ts";
import { count, type Shape } from "../../src/graph/tensor.ts";
import nibbles from "./blocks_nibbles.wgsl" with { type: "text" };
import q4 from "./blocks_q4.wgsl" with { type: "text" };
import q5 from "./blocks_q5.wgsl" with { type: "text" };
import q6 from "./blocks_q6.wgsl" with { type: "text" };
import q8 from "./blocks_q8.wgsl" with { type: "text" };
import right from "./blocks_right.wgsl" with { type: "text" };
import scaleHalf from "./blocks_scale_half.wgsl" with { type: "text" };
import scaleMin from "./blocks_scale_min.wgsl" with { type: "text" };
import scaleSixteen from "./blocks_scale_sixteen.wgsl" with { type: "text" };
import zero0 from "./blocks_zero_0.wgsl" with { type: "text" };
import zero16 from "./blocks_zero_16.wgsl" with { type: "text" };
import zero8 from "./blocks_zero_8.wgsl" with { type: "text" };
import halfBits from "./half_bits.wgsl" with { type: "text" };

const part = (name: string, code: string): Source => ({
  file: `kernels/common/${name}.wgsl`,
  code,
});

const nibble = part("blocks_nibbles", nibbles);
const half = (name: string, zero: string) => [
  part("blocks_scale_half", scaleHalf),
  part(`blocks_zero_${name}`, zero),
];
const min = part("blocks_scale_min", scaleMin);

/** How codes are read, and how their scales. */
const decoders: Record<BlockDType, readonly Source[]> = {
  q4_0: [nibble, part("blocks_q4", q4), ...half("8", zero8)],
  q5_0: [nibble, part("blocks_q5", q5), ...half("16", zero16)],
  q8_0: [part("blocks_q8", q8), ...half("0", zero0)],
  q4_K: [nibble, part("blocks_q4", q4), min],
  q5_K: [nibble, part("blocks_q5", q5), min],
  q6_K: [nibble, part("blocks_q6", q6), part("blocks_scale_sixteen", scaleSixteen)],
};

/**
 * Parts that define right(row, column), four neighbours of a matrix of blocks bound at 1, for a kernel
 * that defines right_height and right_width; and codes, scales and SHARED, of four rows at once.
 */
export const blockParts = (dtype: BlockDType): Source[] => [
  part("half_bits", halfBits),
  part("blocks_right", right),
  ...decoders[dtype],
];

const laid = new WeakMap<Float64Array, Uint32Array>();

/** Numbers rounded to what blocks can hold, in float64: what a kernel's reference is given. */
export function roundToBlocks(
  numbers: ArrayLike<number>,
  shape: Shape,
  dtype: BlockDType,
): Float64Array {
  const { block, bytes } = blockType(dtype), codec = blockCodec(dtype);
  const stored = new Uint8Array(count(shape) / block * bytes);
  const values = new Float32Array(count(shape));
  codec.quantize(Float32Array.from(numbers), stored);
  codec.dequantize(stored, values);
  const rounded = Float64Array.from(values);
  const planes = layBlocks(dtype, stored, count(shape) / shape[0]!);
  laid.set(rounded, Uint32Array.from(planes.flatMap((plane) => [...plane])));
  return rounded;
}

/** What a device holds for numbers that `roundToBlocks` gave. */
export function blockWords(rounded: Float64Array): Uint32Array {
  const found = laid.get(rounded);
  if (!found) throw new Error("these numbers did not come from roundToBlocks");
  return found;
}
