import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import { MOST_F16, storage } from "../common/stored.ts";
import code from "./saturation.wgsl" with { type: "text" };

/** Numbers that one workgroup looks at. */
const BLOCK = 64 * 16 * 4;

/** [total u32[1], x f16[…]] -> [total]; see `saturation`. */
export const saturationOp: Op<null> = {
  name: "saturation",
  updates: [0],
  infer([total, x]) {
    const fits = total!.dtype === "u32" && count(total!.shape) === 1;
    if (!fits || storage("saturation", x!) !== "f16") {
      throw new Fail(`saturation: expected u32[1] and f16, found ${show(total!)} and ${show(x!)}`);
    }
    return [total!];
  },
  reference: ([total, x]) => [
    Float64Array.of(total![0]! + x!.filter((v) => Math.abs(v) === MOST_F16).length),
  ],
  launch: ({ inputs: [total, x] }) => [{
    shader: { kernel: { file: "kernels/saturation/saturation.wgsl", code } },
    workgroups: grid(Math.ceil(count(x!.shape) / BLOCK)),
    bind: [total!, x!],
  }],
};

/**
 * total u32[1] += how many numbers of x f16 are the largest that f16 holds, in place. Stores are bounded
 * by it, so that a number too large does no more harm than its error; this tells that there was one.
 * @returns `total` after the update
 * @throws Fail when x is not f16
 */
export const saturation = (g: Graph, total: Tensor, x: Tensor): Tensor =>
  g.add(saturationOp, [total, x], null)[0]!;
