import type { Capabilities } from "../../src/gpu/device.ts";
import type { Source } from "../../src/gpu/link.ts";
import type { Launch } from "../../src/graph/graph.ts";
import { show, type Tensor, type View } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import type { Form } from "./matmul.ts";
import finish from "./finish.wgsl" with { type: "text" };
import finishAccumulate from "./finish_accumulate.wgsl" with { type: "text" };
import finishAdd from "./finish_add.wgsl" with { type: "text" };
import finishBias from "./finish_bias.wgsl" with { type: "text" };
import finishBiasAdd from "./finish_bias_add.wgsl" with { type: "text" };
import leftAny from "./left_any.wgsl" with { type: "text" };
import leftColumns from "./left_columns.wgsl" with { type: "text" };
import leftRows from "./left_rows.wgsl" with { type: "text" };
import leftVec4 from "./left_vec4.wgsl" with { type: "text" };
import putAny from "./put_any.wgsl" with { type: "text" };
import putVec4 from "./put_vec4.wgsl" with { type: "text" };
import rightAny from "./right_any.wgsl" with { type: "text" };
import rightColumns from "./right_columns.wgsl" with { type: "text" };
import rightHalfAny from "./right_half_any.wgsl" with { type: "text" };
import rightHalfVec4 from "./right_half_vec4.wgsl" with { type: "text" };
import rightRows from "./right_rows.wgsl" with { type: "text" };
import rightVec4 from "./right_vec4.wgsl" with { type: "text" };
import tile from "./tile.wgsl" with { type: "text" };
import widenBf16 from "./widen_bf16.wgsl" with { type: "text" };
import widenF16 from "./widen_f16.wgsl" with { type: "text" };

const part = (name: string, code: string): Source => ({
  file: `kernels/matmul/${name}.wgsl`,
  code,
});

export interface MatmulArgs {
  readonly form: Form;
  readonly alpha?: number;
  readonly a: Tensor | View;
  readonly b: Tensor | View;
  readonly out: Tensor | View;
  readonly bias?: Tensor | View;
  readonly add?: Tensor | View;
  /** out += alpha · op(a) · op(b); goes with neither bias nor add. */
  readonly accumulate?: boolean;
}

/** The dispatch of one product, for ops that are made of several; see `matmul` for the meaning. */
export function matmulLaunch(args: MatmulArgs, _can: Capabilities): Launch {
  const { form, a, b, out, bias, add, accumulate } = args;
  if (accumulate && (bias || add)) {
    throw new Error("matmul: accumulate adds neither bias nor addend");
  }
  const [ROWS, COLS] = out.shape as [number, number];
  const K = a.shape[form === "tn" ? 0 : 1]!;
  const loads4 = (width: number) => K % 4 === 0 && width % 4 === 0;
  const left = loads4(form === "tn" ? ROWS : K), right = loads4(form === "nt" ? K : COLS);
  // Small results get small tiles: more workgroups, less waste at the edges.
  const small = (n: number, other: number) => n <= 32 || ROWS * COLS < 64 * 64 * 64 && other > 32;
  const rowsALane = small(ROWS, COLS) ? 4 : 8, colsALane = small(COLS, ROWS) ? 4 : 8;
  const tiles = Math.ceil(ROWS / (8 * rowsALane)) * Math.ceil(COLS / (8 * colsALane));
  return {
    shader: {
      kernel: part("tile", tile),
      parts: [
        form === "tn" ? part("left_columns", leftColumns) : part("left_rows", leftRows),
        left ? part("left_vec4", leftVec4) : part("left_any", leftAny),
        form === "nt" ? part("right_rows", rightRows) : part("right_columns", rightColumns),
        ...rightLoader(b, right),
        COLS % 4 === 0 ? part("put_vec4", putVec4) : part("put_any", putAny),
        accumulate
          ? part("finish_accumulate", finishAccumulate)
          : bias && add
          ? part("finish_bias_add", finishBiasAdd)
          : bias
          ? part("finish_bias", finishBias)
          : add
          ? part("finish_add", finishAdd)
          : part("finish", finish),
      ],
      constants: {
        ROWS,
        COLS,
        K,
        ALPHA: args.alpha ?? 1,
        ROWS_A_LANE: rowsALane,
        COLS_A_LANE: colsALane,
        DEPTH: 16,
      },
    },
    workgroups: grid(tiles),
    bind: [a, b, out, bias, add].filter((t) => t !== undefined),
  };
}

function rightLoader(b: Tensor | View, vec4: boolean): Source[] {
  const tensor = "tensor" in b ? b.tensor : b;
  switch (tensor.dtype) {
    case "f32":
      return [vec4 ? part("right_vec4", rightVec4) : part("right_any", rightAny)];
    case "f16":
    case "bf16":
      return [
        tensor.dtype === "f16" ? part("widen_f16", widenF16) : part("widen_bf16", widenBf16),
        vec4 ? part("right_half_vec4", rightHalfVec4) : part("right_half_any", rightHalfAny),
      ];
    default:
      throw new Error(`matmul cannot read ${show(tensor)}`);
  }
}
