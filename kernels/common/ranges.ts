import type { Capabilities } from "../../src/gpu/device.ts";
import { isBlocks } from "../../src/formats/gguf_planes.ts";
import { bytesOf, count, sizes, type Tensor, type View } from "../../src/graph/tensor.ts";

/** Some rows of a matrix, from the first on, and where they are bound. */
export interface RowRange {
  readonly from: number;
  readonly rows: number;
  readonly bound: Tensor | View;
}

/**
 * A matrix cut by rows into what one binding holds, in rising order; whole where it fits, or where it is
 * codes of int8 or nf4. Ranges begin at multiples of 128 rows, and so of 256 bytes. Each range of blocks
 * of GGUF has its own planes, so that it is one stretch of bytes: `loadWeights` lays them so.
 */
export function rowRanges(matrix: Tensor | View, can: Capabilities): RowRange[] {
  const { tensor, offset } = "tensor" in matrix ? matrix : { tensor: matrix, offset: 0 };
  const { shape } = matrix, rows = shape[0]!, width = count(shape.slice(1));
  const { dtype } = tensor, whole = [{ from: 0, rows, bound: matrix }];
  if (!sizes[dtype] && !isBlocks(dtype)) return whole;
  if (bytesOf({ shape, dtype }) <= can.maxBinding) return whole;
  const step = Math.floor(can.maxBinding / bytesOf({ shape: [128, width], dtype })) * 128;
  if (step === 0) return whole;
  return Array.from({ length: Math.ceil(rows / step) }, (_, i) => {
    const from = i * step, some = Math.min(step, rows - from);
    const bound = { tensor, offset: offset + from * width, shape: [some, width] };
    return { from, rows: some, bound };
  });
}
