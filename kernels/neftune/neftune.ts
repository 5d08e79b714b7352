import { word } from "../../src/base/random.ts";
import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import philox from "../common/philox.wgsl" with { type: "text" };
import { onlyF32 } from "../common/stored.ts";
import code from "./neftune.wgsl" with { type: "text" };

export interface Neftune {
  /** Strength of the noise; 5 to 15 in the paper. */
  readonly alpha: number;
}

/** A stream that no dropout has: they count from 0. */
const STREAM = 0xffffffff;

/** [x, spans, reach, clock u32[2]] -> [y]; see `neftune`. */
export const neftuneOp: Op<Neftune> = {
  name: "neftune",
  inPlace: () => [[0, 0]],
  light: true,
  infer([x, spans, reach]) {
    for (const t of [spans!, reach!]) {
      if (String(t.shape) !== String([x!.shape[0], 2])) {
        throw new Fail(`neftune: ${show(t)} does not fit ${show(x!)}`);
      }
    }
    onlyF32("neftune", x!);
    return [{ shape: x!.shape, dtype: "f32" }];
  },
  reference([x, spans, reach, clock], { alpha }, { inputs }) {
    const C = inputs[0]!.shape[1]!;
    return [x!.map((v, i) => {
      const t = Math.floor(i / C), length = reach![2 * t + 1]! - spans![2 * t]!;
      const u = (word(clock![0]!, STREAM, i, clock![1]!) >>> 8) * 2 ** -23 - 1;
      return length === 0 ? v : v + (u * alpha) / Math.sqrt(length * C);
    })];
  },
  launch({ inputs, outputs, attrs: { alpha } }) {
    const [y] = outputs, N = count(y!.shape), C = y!.shape[1]!;
    return [{
      shader: {
        kernel: { file: "kernels/neftune/neftune.wgsl", code },
        parts: [{ file: "kernels/common/philox.wgsl", code: philox }],
        constants: { N, C, SCALE: alpha / Math.sqrt(C), STREAM },
      },
      workgroups: grid(Math.ceil(N / 256)),
      bind: [...inputs, y!],
    }];
  },
  backward: (_g, _node, [dy]) => [dy, undefined, undefined, undefined],
};

/**
 * x f32[T, C], embeddings of packed sequences, with uniform noise in ±alpha / sqrt(L·C), L the length of
 * the token's own sequence (Jain et al. 2023, NEFTune). The noise is a function of (seed, micro step) in
 * `clock` and of the place of an element, so that a block computed again sees the same.
 * @param spans u32[T,2] and `reach` u32[T,2]: where a token's sequence begins and ends, as attention has them
 */
export const neftune = (
  g: Graph,
  x: Tensor,
  places: { readonly spans: Tensor; readonly reach: Tensor; readonly clock: Tensor },
  attrs: Neftune,
): Tensor => g.add(neftuneOp, [x, places.spans, places.reach, places.clock], attrs)[0]!;
