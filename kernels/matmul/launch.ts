import type { Capabilities, MatrixConfig } from "../../src/gpu/device.ts";
import type { Source } from "../../src/gpu/link.ts";
import type { Launch } from "../../src/graph/graph.ts";
import { isBlocks } from "../../src/formats/gguf_planes.ts";
import { type Shape, show, type Tensor, type View } from "../../src/graph/tensor.ts";
import { blockParts } from "../common/gguf.ts";
import { grid } from "../common/grid.ts";
import { isNf4, tiled } from "../common/nf4.ts";
import { floatBits, numbers } from "../common/numbers.ts";
import { rowRanges } from "../common/ranges.ts";
import { half } from "../common/stored.ts";
import { byMatrix, matrixUnits, type Tiling, tilingName, tilings } from "./by_matrix.ts";

import begin from "./begin.wgsl" with { type: "text" };
import beginLow from "./begin_low.wgsl" with { type: "text" };
import broadcast from "./broadcast.wgsl" with { type: "text" };
import few from "./few.wgsl" with { type: "text" };
import finish from "./finish.wgsl" with { type: "text" };
import finishAccumulate from "./finish_accumulate.wgsl" with { type: "text" };
import finishAdd from "./finish_add.wgsl" with { type: "text" };
import finishBias from "./finish_bias.wgsl" with { type: "text" };
import finishBiasAdd from "./finish_bias_add.wgsl" with { type: "text" };
import finishLowBias from "./finish_low_bias.wgsl" with { type: "text" };
import heldColumns from "./held_columns.wgsl" with { type: "text" };
import heldRows from "./held_rows.wgsl" with { type: "text" };
import leftAny from "./left_any.wgsl" with { type: "text" };
import leftColumns from "./left_columns.wgsl" with { type: "text" };
import leftHalfAny from "./left_half_any.wgsl" with { type: "text" };
import leftHalfVec4 from "./left_half_vec4.wgsl" with { type: "text" };
import leftRows from "./left_rows.wgsl" with { type: "text" };
import leftVec4 from "./left_vec4.wgsl" with { type: "text" };
import low from "./low.wgsl" with { type: "text" };
import lowAny from "./low_any.wgsl" with { type: "text" };
import lowBlockAt from "./low_block_at.wgsl" with { type: "text" };
import lowBlockColumns from "./low_block_columns.wgsl" with { type: "text" };
import lowBlockRows from "./low_block_rows.wgsl" with { type: "text" };
import lowRightColumns from "./low_right_columns.wgsl" with { type: "text" };
import lowRightRows from "./low_right_rows.wgsl" with { type: "text" };
import lowVec4 from "./low_vec4.wgsl" with { type: "text" };
import nf4 from "./nf4.wgsl" with { type: "text" };
import nf4Lanes from "./nf4_lanes.wgsl" with { type: "text" };
import nf4Rows from "./nf4_rows.wgsl" with { type: "text" };
import nf4Scale from "./nf4_scale.wgsl" with { type: "text" };
import nf4ScaleDouble from "./nf4_scale_double.wgsl" with { type: "text" };
import nf4Scales from "./nf4_scales.wgsl" with { type: "text" };
import nf4ScalesDouble from "./nf4_scales_double.wgsl" with { type: "text" };
import nf4Tiled from "./nf4_tiled.wgsl" with { type: "text" };
import putAny from "./put_any.wgsl" with { type: "text" };
import putHalfTransposed from "./put_half_transposed.wgsl" with { type: "text" };
import putHalfVec4 from "./put_half_vec4.wgsl" with { type: "text" };
import putTransposed from "./put_transposed.wgsl" with { type: "text" };
import putVec4 from "./put_vec4.wgsl" with { type: "text" };
import rightAny from "./right_any.wgsl" with { type: "text" };
import rightColumns from "./right_columns.wgsl" with { type: "text" };
import rightHalfAny from "./right_half_any.wgsl" with { type: "text" };
import rightHalfVec4 from "./right_half_vec4.wgsl" with { type: "text" };
import rightInt8Any from "./right_int8_any.wgsl" with { type: "text" };
import rightInt8Vec4 from "./right_int8_vec4.wgsl" with { type: "text" };
import rightNf4Any from "./right_nf4_any.wgsl" with { type: "text" };
import rightNf4Tiled from "./right_nf4_tiled.wgsl" with { type: "text" };
import rightRows from "./right_rows.wgsl" with { type: "text" };
import rightVec4 from "./right_vec4.wgsl" with { type: "text" };
import sizeCode from "./size.wgsl" with { type: "text" };
import tile from "./tile.wgsl" with { type: "text" };
import unprepared from "./unprepared.wgsl" with { type: "text" };
import whole from "./whole.wgsl" with { type: "text" };
import wholeBlock from "./whole_block.wgsl" with { type: "text" };
import wholeRight from "./whole_right.wgsl" with { type: "text" };
import wideColumns from "./wide_columns.wgsl" with { type: "text" };
import wideColumnsNf4 from "./wide_columns_nf4.wgsl" with { type: "text" };
import wideRows from "./wide_rows.wgsl" with { type: "text" };
import wideRowsBlocks from "./wide_rows_blocks.wgsl" with { type: "text" };
import wideRowsNf4 from "./wide_rows_nf4.wgsl" with { type: "text" };
import widenBf16 from "./widen_bf16.wgsl" with { type: "text" };
import widenF16 from "./widen_f16.wgsl" with { type: "text" };

/**
 * How the operands are stored:
 *  nt  y[M,N] = a[M,K] · b[N,K]ᵀ   forward
 *  nn  y[M,N] = a[M,K] · b[K,N]    gradient of the activations
 *  tn  y[M,N] = a[K,M]ᵀ · b[K,N]   gradient of the weights
 */
export type Form = "nt" | "nn" | "tn";

export interface MatmulArgs {
  readonly form: Form;
  readonly alpha?: number;
  readonly a: Tensor | View;
  readonly b: Tensor | View;
  readonly out: Tensor | View;
  readonly bias?: Tensor | View;
  readonly add?: Tensor | View;
  /** out = … + left[M, R] · op(right), with right stored as b is; goes with neither alpha nor add. */
  readonly low?: { readonly left: Tensor | View; readonly right: Tensor | View };
  /** out += alpha · op(a) · op(b); goes with neither bias nor add. */
  readonly accumulate?: boolean;
}

/** Numbers from one row of a, or of y, to the next, where they are parts of wider matrices. */
interface Strides {
  readonly a?: number;
  readonly out?: number;
}

/** A product as the kernels see it: left[ROWS, K] · right[K, COLS]. */
interface Product {
  readonly ROWS: number;
  readonly COLS: number;
  readonly K: number;
  readonly left: Operand;
  readonly right: Operand;
  /** y is stored [COLS, ROWS]. */
  readonly transposed: boolean;
  /** A product with these of its own K comes before this one. */
  readonly low?: MatmulArgs["low"];
}

/** Stored [rows or columns of the product, K], or with `columns` [K, rows or columns]. */
interface Operand {
  readonly bound: Tensor | View;
  readonly columns: boolean;
  /** Numbers from one row to the next where that is not K. */
  readonly stride?: number;
}

const part = (name: string, code: string): Source => ({
  file: `kernels/matmul/${name}.wgsl`,
  code,
});

/**
 * The dispatches of one product. A matrix b that is larger than a binding is taken some rows at a time: in
 * form nt these make columns of y, in form nn they are a part of the sums, added in rising order.
 */
export function matmulLaunches(args: MatmulArgs, can: Capabilities): Launch[] {
  const { form, a, b, out, bias, add, low: factors } = args;
  const ranges = form === "tn" ? [] : rowRanges(b, can);
  if (ranges.length <= 1) return [matmulLaunch(args, can)];
  const [M, N] = out.shape as [number, number], K = a.shape[1]!, R = factors?.left.shape[1] ?? 0;
  return ranges.map(({ from, rows, bound }) => {
    if (form === "nt") {
      return matmulLaunch(
        {
          ...args,
          b: bound,
          out: stretch(out, from, [M, rows]),
          bias: bias && stretch(bias, from, [rows]),
          add: add && stretch(add, from, [(M - 1) * N + rows]),
          low: factors && { ...factors, right: stretch(factors.right, from * R, [rows, R]) },
        },
        can,
        { out: N },
      );
    }
    const part = { ...args, a: stretch(a, from, [M, rows]), b: bound };
    const later = { bias: undefined, add: undefined, low: undefined, accumulate: true };
    return matmulLaunch(from === 0 ? part : { ...part, ...later }, can, { a: K });
  });
}

/** Some of a tensor's numbers from `from` on. */
function stretch(of: Tensor | View, from: number, shape: Shape): View {
  const { tensor, offset } = "tensor" in of ? of : { tensor: of, offset: 0 };
  return { tensor, offset: offset + from, shape };
}

/** From the first number of a matrix to its last, where its rows are `stride` apart. */
const across = (of: Tensor | View, stride?: number): Tensor | View =>
  stride ? stretch(of, 0, [(of.shape[0]! - 1) * stride + of.shape[1]!]) : of;

/**
 * The dispatch of one product, for ops that are made of several; see `matmul` for the meaning.
 * @throws Error when `accumulate` meets bias or add, or `low` meets what it does not go with
 */
export function matmulLaunch(
  args: MatmulArgs,
  can: Capabilities,
  strides: Strides = {},
): Launch {
  const { form, a, b, out, bias, add, low: before, alpha = 1 } = args;
  const [ROWS, COLS] = out.shape as [number, number];
  const product: Product = {
    ROWS,
    COLS,
    K: a.shape[form === "tn" ? 0 : 1]!,
    left: { bound: a, columns: form === "tn", stride: strides.a },
    right: { bound: b, columns: form !== "nt" },
    transposed: false,
    low: before,
  };
  const ways = waysOf(product, form, can, strides), kind = kindOf(product, form);
  const tuned = can.tuned[kind], way = ways.has(tuned!) ? tuned! : [...ways.keys()][0]!;
  const { kernel, parts, constants, tiles, taken } = ways.get(way)!();
  const { left, right } = taken;
  const size = numbers(
    taken.ROWS,
    taken.COLS,
    taken.K,
    floatBits(alpha),
    before?.left.shape[1] ?? 0,
    strides.a ?? taken.K,
    strides.out ?? (taken.transposed ? taken.ROWS : taken.COLS),
  );
  return {
    shader: {
      kernel,
      parts: [
        ...parts,
        ...leftLoader(left.bound, fours(taken, left, taken.ROWS)),
        ...writer(out, taken.transposed, COLS % 4 === 0 && (strides.out ?? 0) % 4 === 0),
        finisher(args),
        part("size", sizeCode),
      ],
      constants,
    },
    workgroups: grid(tiles),
    bind: [
      across(left.bound, strides.a),
      right.bound,
      across(out, strides.out),
      size,
      before?.left,
      before?.right,
      bias,
      add,
    ].filter((t) => t !== undefined),
    choice: { kind, ways: [...ways.keys()], way },
  };
}

interface Variant {
  readonly taken: Product;
  readonly kernel: Source;
  readonly parts: readonly Source[];
  readonly constants: Readonly<Record<string, number>>;
  readonly tiles: number;
}

/** Products of one kind take the same kernel: sizes count by their nearest powers of two. */
function kindOf({ ROWS, COLS, K, left, right, low }: Product, form: Form): string {
  const near = (n: number) => 2 ** Math.round(Math.log2(n));
  const types = `${dtypeOf(left.bound)} ${dtypeOf(right.bound)}`;
  return `matmul ${form} ${types} ${near(ROWS)}x${near(COLS)}x${near(K)}${low ? " + low" : ""}`;
}

/** The kernels that can compute a product, by name; the first is taken where nothing was measured. */
function waysOf(
  product: Product,
  form: Form,
  can: Capabilities,
  strides: Strides,
): Map<string, () => Variant> {
  const { ROWS, COLS } = product, ways = new Map<string, () => Variant>();
  const units = matrixUnits(can), few = form === "nt" && ROWS <= 4;
  const matrices = () => {
    if (!units || ROWS < units.M || COLS < units.N) return;
    for (const tiling of tilings(units, can)) {
      ways.set(tilingName(tiling), () => byMatrices(product, units, tiling, can));
    }
  };
  if (Math.min(ROWS, COLS) >= 32) matrices();
  if (can.subgroupSize === 8) {
    const BLOCKS = blocks(product), turnable = !strides.a && !strides.out;
    for (const n of [BLOCKS, 3 - BLOCKS]) {
      ways.set(`broadcast ${n}`, () => byBroadcast(turnable ? cheaper(product) : product, n));
    }
  }
  if (few) ways.set("few", () => byFew(product));
  const first = tileOf(product), all = [4, 8].flatMap((r) => [4, 8].map((c) => [r, c] as const));
  for (const [rows, cols] of [first, ...all]) {
    for (const depth of [32, 16]) {
      const name = `tile ${rows}x${cols} ${depth}`;
      if (!ways.has(name)) ways.set(name, () => byTile(product, rows, cols, depth));
    }
  }
  matrices();
  return ways;
}

/** Small results get small tiles: more workgroups, and less waste at the edges. */
function tileOf({ ROWS, COLS }: Product): readonly [number, number] {
  const large = ROWS * COLS >= 512 * 512;
  return [large && ROWS > 32 ? 8 : 4, large && COLS > 32 ? 8 : 4];
}

function byTile(taken: Product, rows: number, cols: number, depth: number): Variant {
  const { ROWS, COLS, left, right } = taken;
  return {
    taken,
    kernel: part("tile", tile),
    parts: [
      left.columns ? part("left_columns", leftColumns) : part("left_rows", leftRows),
      right.columns ? part("right_columns", rightColumns) : part("right_rows", rightRows),
      ...lowParts(taken, "tile"),
      ...rightLoader(right.bound, fours(taken, right, COLS)),
    ],
    constants: { ROWS_A_LANE: rows, COLS_A_LANE: cols, DEPTH: depth },
    tiles: Math.ceil(ROWS / (8 * rows)) * Math.ceil(COLS / (8 * cols)),
  };
}

function byMatrices(
  taken: Product,
  units: MatrixConfig,
  tiling: Tiling,
  can: Capabilities,
): Variant {
  const { ROWS, COLS, left, right } = taken, { rows, cols, down, wide } = tiling;
  const columns = { left: left.columns, right: right.columns };
  const { kernel, parts, constants } = byMatrix(units, tiling, columns, can);
  return {
    taken,
    kernel,
    parts: [
      ...parts,
      ...lowParts(taken, "tile"),
      ...rightLoader(right.bound, fours(taken, right, COLS)),
    ],
    constants,
    tiles: Math.ceil(ROWS / (rows * down)) * Math.ceil(COLS / (cols * wide)),
  };
}

function byBroadcast(taken: Product, BLOCKS: number): Variant {
  const { ROWS, COLS, left, right } = taken;
  return {
    taken,
    kernel: part("broadcast", broadcast),
    parts: [
      left.columns ? part("held_columns", heldColumns) : part("held_rows", heldRows),
      ...inTiles(right.bound)
        ? [part("nf4_lanes", nf4Lanes), ...wideNf4(right)]
        : [part("unprepared", unprepared), ...wideLoader(taken)],
      ...lowParts(taken, "broadcast"),
    ],
    constants: { BLOCKS },
    tiles: Math.ceil(ROWS / (8 * BLOCKS)) * Math.ceil(COLS / 32),
  };
}

function byFew(taken: Product): Variant {
  return {
    taken,
    kernel: part("few", few),
    parts: [...wideLoader(taken), ...lowParts(taken, "few")],
    constants: { MOST: taken.ROWS },
    tiles: Math.ceil(taken.COLS / 16),
  };
}

/** Two blocks of rows are faster, one is compiled in half the time. */
const blocks = ({ ROWS, COLS, K }: Product) => ROWS <= 8 || ROWS * COLS * K < 2 ** 22 ? 1 : 2;

/** The product or its transpose, whichever wastes less of the broadcast tiles: LoRA's are thin. */
function cheaper(product: Product): Product {
  const { ROWS, COLS, left, right } = product;
  if (product.low) return product;
  const turned = { ...product, ROWS: COLS, COLS: ROWS, left: right, right: left, transposed: true };
  const kept = dtypeOf(right.bound);
  return (kept === "f32" || kept === "f16") && cost(turned) < cost(product) ? turned : product;
}

/** In multiply-adds: a load of four neighbours costs as much as 12 of them. */
function cost(product: Product): number {
  const height = 8 * blocks(product);
  const tiles = Math.ceil(product.ROWS / height) * Math.ceil(product.COLS / 32);
  return tiles * (12 * (4 + height / 8) + 4 * height);
}

const dtypeOf = (bound: Tensor | View) => ("tensor" in bound ? bound.tensor : bound).dtype;

/** Whether four neighbours of the operand are one aligned vector. Past the end of K kernels see to themselves. */
const fours = ({ K }: Product, { columns, stride = 0 }: Operand, extent: number) =>
  (columns ? extent : K) % 4 === 0 && stride % 4 === 0;

/** Reads the right operand in blocks of 4x4. */
function wideLoader(taken: Product): Source[] {
  const { right, COLS } = taken;
  const dtype = dtypeOf(right.bound);
  if (inTiles(right.bound)) return [part("nf4", nf4), ...wideNf4(right)];
  if (isBlocks(dtype) && !right.columns) {
    return [...blockParts(dtype), part("wide_rows_blocks", wideRowsBlocks)];
  }
  return [
    right.columns ? part("wide_columns", wideColumns) : part("wide_rows", wideRows),
    ...rightLoader(right.bound, fours(taken, right, COLS)),
  ];
}

const wideNf4 = ({ columns, bound }: Operand) => [
  ...nf4Matrix(bound),
  ...dtypeOf(bound) === "nf4"
    ? [part("nf4_scales", nf4Scales)]
    : [part("nf4_scales_double", nf4ScalesDouble)],
  columns ? part("wide_columns_nf4", wideColumnsNf4) : part("wide_rows_nf4", wideRowsNf4),
];

/** The codes of a matrix, and the scale of each of its numbers. */
const nf4Matrix = (b: Tensor | View) => [
  inTiles(b) ? part("nf4_tiled", nf4Tiled) : part("nf4_rows", nf4Rows),
  dtypeOf(b) === "nf4" ? part("nf4_scale", nf4Scale) : part("nf4_scale_double", nf4ScaleDouble),
];

const inTiles = (bound: Tensor | View) => isNf4(dtypeOf(bound)) && tiled(bound.shape);

/**
 * Parts that define right(row, column), four neighbours of a matrix as it is stored, bound at 1, for a
 * kernel that defines right_height and right_width.
 * @param vec4 where its width and every column asked for are multiples of 4; the caller stays inside
 */
export function rightLoader(b: Tensor | View, vec4: boolean): Source[] {
  const dtype = dtypeOf(b);
  switch (dtype) {
    case "f32":
      return [vec4 ? part("right_vec4", rightVec4) : part("right_any", rightAny)];
    case "f16":
    case "bf16":
      return [
        dtype === "f16" ? part("widen_f16", widenF16) : part("widen_bf16", widenBf16),
        vec4 ? part("right_half_vec4", rightHalfVec4) : part("right_half_any", rightHalfAny),
      ];
    case "int8":
      return [vec4 ? part("right_int8_vec4", rightInt8Vec4) : part("right_int8_any", rightInt8Any)];
    case "nf4":
    case "nf4_double":
      return [
        part("nf4", nf4),
        ...nf4Matrix(b),
        inTiles(b) ? part("right_nf4_tiled", rightNf4Tiled) : part("right_nf4_any", rightNf4Any),
      ];
    default:
      if (isBlocks(dtype)) return blockParts(dtype);
      throw new Error(`matmul cannot read ${show("tensor" in b ? b.tensor : b)}`);
  }
}

/** Reads four neighbours of the left operand. */
function leftLoader(a: Tensor | View, vec4: boolean): Source[] {
  if (dtypeOf(a) === "f16") {
    return [
      half,
      vec4 ? part("left_half_vec4", leftHalfVec4) : part("left_half_any", leftHalfAny),
    ];
  }
  if (dtypeOf(a) !== "f32") {
    throw new Error(`matmul cannot read ${show("tensor" in a ? a.tensor : a)}`);
  }
  return [vec4 ? part("left_vec4", leftVec4) : part("left_any", leftAny)];
}

/** Writes the result; f16 only in rows of whole fours. */
function writer(out: Tensor | View, transposed: boolean, vec4: boolean): Source[] {
  if (dtypeOf(out) === "f16") {
    return [
      half,
      transposed
        ? part("put_half_transposed", putHalfTransposed)
        : part("put_half_vec4", putHalfVec4),
    ];
  }
  if (transposed) return [part("put_transposed", putTransposed)];
  return [vec4 ? part("put_vec4", putVec4) : part("put_any", putAny)];
}

/** How a kernel comes by the low-rank factors, which it goes through first, and by the rest after them. */
function lowParts(
  { low: factors, right: { columns }, COLS }: Product,
  by: "tile" | "broadcast" | "few",
): Source[] {
  if (!factors) {
    if (by === "broadcast") return [part("begin", begin)];
    return [
      part("whole", whole),
      by === "few" ? part("whole_block", wholeBlock) : part("whole_right", wholeRight),
    ];
  }
  const R = factors.left.shape[1]!, vec4 = R % 4 === 0 && (!columns || COLS % 4 === 0);
  const loader = vec4 ? part("low_vec4", lowVec4) : part("low_any", lowAny);
  if (by === "tile") {
    return [
      part("low", low),
      loader,
      columns ? part("low_right_columns", lowRightColumns) : part("low_right_rows", lowRightRows),
    ];
  }
  return [
    ...(by === "few"
      ? [part("low", low), part("low_block_at", lowBlockAt)]
      : [part("begin_low", beginLow)]),
    loader,
    columns ? part("low_block_columns", lowBlockColumns) : part("low_block_rows", lowBlockRows),
  ];
}

function finisher({ form, alpha = 1, out, bias, add, accumulate, low }: MatmulArgs): Source {
  if (accumulate && (bias || add)) throw new Error("matmul: accumulate goes with no bias or add");
  if (accumulate && dtypeOf(out) !== "f32") throw new Error("matmul: only f32 accumulates");
  if (low && (alpha !== 1 || add || form === "tn")) {
    throw new Error("matmul: a low-rank product goes with no alpha, add or form tn");
  }
  if (low && bias) return part("finish_low_bias", finishLowBias);
  if (accumulate) return part("finish_accumulate", finishAccumulate);
  if (bias && add) return part("finish_bias_add", finishBiasAdd);
  if (bias) return part("finish_bias", finishBias);
  return add ? part("finish_add", finishAdd) : part("finish", finish);
}
