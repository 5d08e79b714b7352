import type { Source } from "../../src/gpu/link.ts";
import type { Launch } from "../../src/graph/graph.ts";
import { grid } from "./grid.ts";
import { wide } from "./wide.ts";

/** Rows in one block, about √T: both stages of a sum over T rows are then short. A power of two. */
export const blockRows = (T: number): number => Math.max(16, 2 ** Math.ceil(Math.log2(T) / 2));

/** Blocks in T rows. */
export const rowBlocks = (T: number): number => Math.ceil(T / blockRows(T));

/**
 * The launch of a kernel that walks down blocks of ROWS of T rows of C numbers: one Vec of one block a
 * lane, 64 lanes a workgroup.
 * @param more constants of the kernel's own
 */
export function inBlocks(
  kernel: Source,
  { T, C, ROWS = blockRows(T) }: { readonly T: number; readonly C: number; readonly ROWS?: number },
  bind: Launch["bind"],
  more: Readonly<Record<string, number>> = {},
): Launch {
  const lanes = Math.ceil(T / ROWS) * (C % 4 === 0 ? C / 4 : C);
  return {
    shader: { kernel, parts: [wide(C)], constants: { T, C, ROWS, ...more } },
    workgroups: grid(Math.ceil(lanes / 64)),
    bind,
  };
}
