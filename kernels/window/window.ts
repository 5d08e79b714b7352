import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import { numbers } from "../common/numbers.ts";
import code from "./window.wgsl" with { type: "text" };

export interface WindowAttrs {
  readonly size: number;
  /** Which numbers of a span stay. */
  readonly keep: "last" | "first";
}

/** [spans u32[N, 2]] -> [u32[N, 2]]; see `lastOf` and `firstOf`. */
export const windowOp: Op<WindowAttrs> = {
  name: "window",
  infer([spans], { size }) {
    if (spans!.dtype !== "u32" || spans!.shape.at(-1) !== 2 || !(size > 0)) {
      throw new Fail(`window: expected pairs of u32 and a size above 0: ${show(spans!)}, ${size}`);
    }
    return [{ shape: spans!.shape, dtype: "u32" }];
  },
  reference([spans], { size, keep }) {
    const cut = spans!.slice();
    for (let i = 0; i < cut.length; i += 2) {
      const [lo, hi] = [cut[i]!, cut[i + 1]!];
      if (keep === "last") cut[i] = Math.max(lo, hi - size);
      else cut[i + 1] = Math.min(hi, lo + size);
    }
    return [cut];
  },
  launch({ inputs: [spans], outputs: [cut], attrs: { size, keep } }) {
    const sizes = keep === "last" ? numbers(size, 0) : numbers(0, size);
    return [{
      shader: { kernel: { file: "kernels/window/window.wgsl", code } },
      workgroups: grid(Math.ceil(count(spans!.shape) / 128)),
      bind: [spans!, cut!, sizes],
    }];
  },
};

/** The last `size` of each span: the keys that a row sees through a sliding window. */
export const lastOf = (g: Graph, spans: Tensor, size: number): Tensor =>
  g.add(windowOp, [spans], { size, keep: "last" })[0]!;

/** The first `size` of each span: the rows that see a key through a sliding window. */
export const firstOf = (g: Graph, reach: Tensor, size: number): Tensor =>
  g.add(windowOp, [reach], { size, keep: "first" })[0]!;
