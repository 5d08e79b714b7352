import type { Capabilities, MatrixConfig } from "../../src/gpu/device.ts";
import type { Source } from "../../src/gpu/link.ts";

import matrix from "./matrix.wgsl" with { type: "text" };
import matrixF16 from "./matrix_f16.wgsl" with { type: "text" };
import matrixF32 from "./matrix_f32.wgsl" with { type: "text" };
import leftColumns from "./matrix_left_columns.wgsl" with { type: "text" };
import leftRows from "./matrix_left_rows.wgsl" with { type: "text" };
import rightColumns from "./matrix_right_columns.wgsl" with { type: "text" };
import rightRows from "./matrix_right_rows.wgsl" with { type: "text" };
import matrixTile from "./matrix_tile.wgsl" with { type: "text" };

/** What one workgroup computes: `down` x `wide` subgroups, each `rows` x `cols` numbers of the result. */
export interface Tiling {
  readonly rows: number;
  readonly cols: number;
  readonly down: number;
  readonly wide: number;
}

/** Deep enough that a slice of either operand is a good load for all lanes. */
const DEPTH = 32;

/** Best guess first. A subgroup's sums stay in registers: few on small GPUs, many on large ones. */
const TILINGS: Readonly<Record<MatrixConfig["component"], readonly Tiling[]>> = {
  f32: [
    { rows: 16, cols: 32, down: 2, wide: 2 },
    { rows: 32, cols: 32, down: 2, wide: 2 },
    { rows: 32, cols: 16, down: 2, wide: 4 },
    { rows: 16, cols: 16, down: 2, wide: 2 },
  ],
  f16: [
    { rows: 64, cols: 64, down: 2, wide: 2 },
    { rows: 32, cols: 64, down: 2, wide: 2 },
    { rows: 32, cols: 32, down: 2, wide: 2 },
    { rows: 32, cols: 32, down: 4, wide: 2 },
    { rows: 16, cols: 16, down: 4, wide: 4 },
    { rows: 64, cols: 32, down: 2, wide: 4 },
  ],
};

export const tilingName = ({ rows, cols, down, wide }: Tiling): string =>
  `matrix ${rows}x${cols} ${down}x${wide}`;

/**
 * The device's matrix units that a product may use: with operands in f32 always, in f16 only where the
 * arithmetic was asked for in f16; sums in f32. Undefined where there are none, and on software adapters,
 * which only imitate them.
 */
export function matrixUnits(can: Capabilities): MatrixConfig | undefined {
  if (can.software || can.subgroupMost === undefined) return undefined;
  const largest = (component: MatrixConfig["component"]) =>
    can.matrices.filter((m) => m.component === component && m.result === "f32")
      .sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K)[0];
  const half = can.compute === "f16" && can.f16 ? largest("f16") : undefined;
  return half ?? largest("f32");
}

/** The tilings that the units and the device's limits admit, best guess first. */
export function tilings(units: MatrixConfig, can: Capabilities): Tiling[] {
  return TILINGS[units.component].filter((tiling) => {
    const { M, N, K, component } = units;
    const { rows, cols, down, wide } = tiling;
    // Of slices, with padding, in their larger layout, and of a matrix of the result for each subgroup.
    const word = component === "f16" ? 2 : 4, padded = (n: number) => n + 16 / word;
    const slice = (n: number) => word * Math.max(n * padded(DEPTH), DEPTH * padded(n));
    const bytes = slice(rows * down) + slice(cols * wide) + 4 * down * wide * M * N + 8;
    return rows % M === 0 && cols % N === 0 && DEPTH % K === 0 && N % 4 === 0 &&
      down * wide * can.subgroupMost! <= can.maxWorkgroupSize && bytes <= can.maxWorkgroupStorage;
  });
}

const part = (name: string, code: string): Source => ({
  file: `kernels/matmul/${name}.wgsl`,
  code,
});

/** Kernel, parts and constants of a product by matrix units; the operands' own parts come on top. */
export function byMatrix(
  units: MatrixConfig,
  { rows, cols, down, wide }: Tiling,
  columns: { readonly left: boolean; readonly right: boolean },
  can: Capabilities,
): { kernel: Source; parts: Source[]; constants: Record<string, number> } {
  const { M, N, K, component } = units, half = component === "f16";
  return {
    kernel: part("matrix", matrix),
    parts: [
      part("matrix_tile", matrixTile),
      half ? part("matrix_f16", matrixF16) : part("matrix_f32", matrixF32),
      columns.left ? part("matrix_left_columns", leftColumns) : part("matrix_left_rows", leftRows),
      columns.right
        ? part("matrix_right_columns", rightColumns)
        : part("matrix_right_rows", rightRows),
    ],
    constants: {
      M,
      N,
      K,
      DOWN: rows / M,
      WIDE: cols / N,
      SUBGROUPS_DOWN: down,
      SUBGROUPS_WIDE: wide,
      LANES: down * wide * can.subgroupMost!,
      DEPTH,
      PAD: half ? 8 : 4,
    },
  };
}
