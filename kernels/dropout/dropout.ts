import { word } from "../../src/base/random.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import philox from "../common/philox.wgsl" with { type: "text" };
import { storage, stored } from "../common/stored.ts";
import { wide } from "../common/wide.ts";
import code from "./dropout.wgsl" with { type: "text" };
import codeFours from "./dropout_fours.wgsl" with { type: "text" };

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
  infer: ([x]) => [{ shape: x!.shape, dtype: storage("dropout", x!) }],
  reference: ([x, clock], { p, stream }) => [
    x!.map((v, i) =>
      word(clock![0]!, stream, i, clock![1]!) >>> 8 < threshold(p) ? 0 : v / (1 - p)
    ),
  ],
  launch({ inputs, outputs, attrs: { p, stream } }) {
    const [y] = outputs, n = count(y!.shape);
    const draws = { file: "kernels/common/philox.wgsl", code: philox };
    const constants = { BELOW: threshold(p), KEEP: 1 / (1 - p), STREAM: stream };
    return [{
      shader: n % 4 === 0
        ? {
          kernel: { file: "kernels/dropout/dropout_fours.wgsl", code: codeFours },
          parts: [wide(n), ...stored(y!.dtype), draws],
          constants,
        }
        : {
          kernel: { file: "kernels/dropout/dropout.wgsl", code },
          parts: [draws],
          constants: { ...constants, N: n },
        },
      workgroups: grid(Math.ceil(n / 256)),
      bind: [...inputs, y!],
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
