import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import { storage, stored } from "../common/stored.ts";
import code from "./rope.wgsl" with { type: "text" };
import type { RopeTables } from "./tables.ts";

export interface RopeAttrs {
  readonly heads: number;
  /** R: the first R numbers of each head are rotated. */
  readonly rotary: number;
  readonly inverse: boolean;
}

/**
 * Rotary position embedding (Su et al. 2021) in the halves pairing of Hugging Face checkpoints:
 * inputs x f32 or f16[T, H·D], positions u32[T], cos f32[P, R/2], sin f32[P, R/2]; output y as x.
 * Positions must be below P. The derivative is the rotation back.
 */
export const ropeOp: Op<RopeAttrs> = {
  name: "rope",
  inPlace: () => [[0, 0]],
  infer([x, positions, cos, sin], { heads, rotary }) {
    const [T, width] = x!.shape as [number, number];
    const fits = width % heads === 0 && rotary % 2 === 0 && rotary > 0 && rotary <= width / heads &&
      count(positions!.shape) === T && cos!.shape[1] === rotary / 2 &&
      String(cos!.shape) === String(sin!.shape);
    if (!fits) {
      throw new Fail(
        `rope: ${heads} heads, rotary width ${rotary} do not fit ` +
          [x!, positions!, cos!, sin!].map(show).join(", "),
      );
    }
    const dtype = storage("rope", x!);
    if (dtype === "f16" && lanes(width / heads, rotary) !== 4) {
      throw new Fail(
        `rope: heads of ${width / heads} with ${rotary} rotated must be f32: ${show(x!)}`,
      );
    }
    return [{ shape: x!.shape, dtype }];
  },
  reference([x, positions, cos, sin], { heads, rotary, inverse }, { inputs }) {
    const y = x!.slice(), half = rotary / 2, sign = inverse ? -1 : 1;
    const [T, width] = inputs[0]!.shape as [number, number];
    for (let t = 0; t < T; t++) {
      for (let h = 0; h < heads; h++) {
        for (let i = 0; i < half; i++) {
          const a = t * width + h * (width / heads) + i, b = a + half;
          const c = cos![positions![t]! * half + i]!, s = sign * sin![positions![t]! * half + i]!;
          y[a] = x![a]! * c - x![b]! * s;
          y[b] = x![b]! * c + x![a]! * s;
        }
      }
    }
    return [y];
  },
  launch({ inputs, outputs, attrs: { heads, rotary, inverse } }) {
    const [T, width] = inputs[0]!.shape as [number, number];
    const wide = lanes(width / heads, rotary);
    const D = width / heads / wide, HALF = rotary / 2 / wide, N = T * heads * (D - HALF);
    return [{
      shader: {
        kernel: { file: "kernels/rope/rope.wgsl", code },
        parts: stored(outputs[0]!.dtype),
        alias: { Vec: wide === 4 ? "vec4f" : "f32" },
        constants: { N, H: heads, D, HALF, S: inverse ? -1 : 1 },
      },
      workgroups: grid(Math.ceil(N / 64)),
      bind: [...inputs, outputs[0]!],
    }];
  },
  backward(g, { inputs: [, positions, cos, sin], attrs }, [dy]) {
    return g.add(ropeOp, [dy!, positions!, cos!, sin!], { ...attrs, inverse: !attrs.inverse });
  },
};

/** How many numbers of a head are rotated at once: pairs of four, or of one. f16 needs fours. */
export const lanes = (headDim: number, rotary: number): 1 | 4 =>
  headDim % 4 === 0 && rotary % 8 === 0 ? 4 : 1;

/** y[T, H·D]: x rotated to `positions` u32[T]. The tables become constants, shared by all layers. */
export function rope(
  g: Graph,
  x: Tensor,
  positions: Tensor,
  tables: RopeTables,
  { heads, rotary = tables.rotary }: { heads: number; rotary?: number },
): Tensor {
  const shape = [tables.positions, tables.rotary / 2];
  const cos = g.constant("rope.cos", shape, tables.cos);
  const sin = g.constant("rope.sin", shape, tables.sin);
  return g.add(ropeOp, [x, positions, cos, sin], { heads, rotary, inverse: false })[0]!;
}
