import { word } from "../../src/base/random.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import philox from "../common/philox.wgsl" with { type: "text" };
import code from "./dropout.wgsl" with { type: "text" };

export interface Dropout {
  /** Probability that an element is dropped, in [0, 1). */
  readonly p: number;
  /** Tells one use of dropout in a network from another. */
  readonly stream: number;
}

/** A 24-bit draw below this drops the element: whole numbers, so that host and device agree. */
const threshold = (p: number) => Math.round(p * 2 ** 24);

/** [x, clock u32[2]] -> [y]; see `dropout`. */
export const dropoutOp: Op<Dropout> = {
  name: "dropout",
  inPlace: () => [[0, 0]],
  light: true,
  infer: ([x]) => [{ shape: x!.shape, dtype: "f32" }],
  reference: ([x, clock], { p, stream }) => [
    x!.map((v, i) =>
      word(clock![0]!, stream, i, clock![1]!) >>> 8 < threshold(p) ? 0 : v / (1 - p)
    ),
  ],
  launch({ inputs, outputs, attrs: { p, stream } }) {
    const n = count(outputs[0]!.shape);
    return [{
      shader: {
        kernel: { file: "kernels/dropout/dropout.wgsl", code },
        parts: [{ file: "kernels/common/philox.wgsl", code: philox }],
        constants: { N: n, BELOW: threshold(p), KEEP: 1 / (1 - p), STREAM: stream },
      },
      workgroups: grid(Math.ceil(n / 256)),
      bind: [...inputs, outputs[0]!],
    }];
  },
  backward: (g, { inputs: [, clock], attrs }, [dy]) => [
    g.add(dropoutOp, [dy!, clock!], attrs)[0],
    undefined,
  ],
};

/**
 * y = x · keep / (1 - p): inverted dropout (Srivastava et al. 2014). The mask is a function of
 * (seed, micro step) in `clock`, the stream and the place of an element, so the backward pass computes it
 * again instead of storing it.
 */
export const dropout = (g: Graph, x: Tensor, clock: Tensor, attrs: Dropout): Tensor =>
  g.add(dropoutOp, [x, clock], attrs)[0]!;
