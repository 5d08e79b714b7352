import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import { onlyF32 } from "../common/stored.ts";
import { summingRows } from "../common/sum.ts";
import { wide } from "../common/wide.ts";
import dotBackward from "./dot_backward.wgsl" with { type: "text" };
import dot from "./dot.wgsl" with { type: "text" };
import l2Backward from "./l2_backward.wgsl" with { type: "text" };
import l2 from "./l2.wgsl" with { type: "text" };

/** Added to every difference, as torch's pairwise_distance does: two equal rows have a slope too. */
const EPS = 1e-6;

/** Euclidean, or `from` less the product of the rows: 1 for the cosine of unit rows. */
export type Distance = { readonly kind: "l2" } | { readonly kind: "dot"; readonly from: number };

const source = (name: string, code: string) => ({
  file: `kernels/pair_distance/${name}.wgsl`,
  code,
});

/** [x, y f32[N,C]] -> [d[N]]; see `pairDistance`. */
export const pairDistanceOp: Op<Distance> = {
  name: "pair_distance",
  infer([x, y]) {
    onlyF32("pair_distance", x!, y!);
    if (x!.shape.length !== 2 || String(x!.shape) !== String(y!.shape)) {
      throw new Fail(`pair_distance: ${show(x!)} and ${show(y!)} are no pairs`);
    }
    return [{ shape: [x!.shape[0]!], dtype: "f32" }];
  },
  reference([x, y], distance, { inputs }) {
    const [N, C] = inputs[0]!.shape as [number, number];
    return [Float64Array.from({ length: N }, (_, n) => {
      let sum = 0;
      for (let i = n * C; i < (n + 1) * C; i++) {
        sum += distance.kind === "l2" ? (x![i]! - y![i]! + EPS) ** 2 : x![i]! * y![i]!;
      }
      return distance.kind === "l2" ? Math.sqrt(sum) : distance.from - sum;
    })];
  },
  launch({ inputs: [x, y], outputs: [d], attrs }, can) {
    const C = x!.shape[1]!;
    const shader = attrs.kind === "l2"
      ? summingRows(source("l2", l2), can, "f32", C, { EPS })
      : summingRows(source("dot", dot), can, "f32", C, { FROM: attrs.from });
    return [{ shader, workgroups: grid(count(d!.shape)), bind: [x!, y!, d!] }];
  },
  backward: (g, { inputs: [x, y], outputs: [d], attrs }, [dd]) =>
    g.add(pairDistanceBackward, [dd!, d!, x!, y!], attrs),
};

/** [dd, d, x, y] -> [dx, dy] */
export const pairDistanceBackward: Op<Distance> = {
  name: "pair_distance_backward",
  infer: ([, , x, y]) => [x!, y!],
  reference([dd, d, x, y], { kind }) {
    const C = x!.length / d!.length, row = (i: number) => Math.floor(i / C);
    if (kind === "dot") {
      return [y!.map((v, i) => -dd![row(i)]! * v), x!.map((v, i) => -dd![row(i)]! * v)];
    }
    const dx = x!.map((v, i) =>
      d![row(i)]! > 0 ? dd![row(i)]! * (v - y![i]! + EPS) / d![row(i)]! : 0
    );
    return [dx, dx.map((v) => -v)];
  },
  launch({ inputs: [dd, d, x, y], outputs: [dx, dy], attrs }) {
    const C = x!.shape[1]!, parts = [wide(C)];
    const workgroups = grid(Math.ceil(count(x!.shape) / (C % 4 === 0 ? 256 : 64)));
    return [
      attrs.kind === "l2"
        ? {
          shader: { kernel: source("l2_backward", l2Backward), parts, constants: { EPS } },
          workgroups,
          bind: [dd!, d!, x!, y!, dx!, dy!],
        }
        : {
          shader: { kernel: source("dot_backward", dotBackward), parts },
          workgroups,
          bind: [dd!, x!, y!, dx!, dy!],
        },
    ];
  },
};

/**
 * d f32[N]: how far row n of x f32[N, C] is from row n of y.
 * @throws Fail when x and y are not f32 of one shape
 */
export const pairDistance = (g: Graph, x: Tensor, y: Tensor, distance: Distance): Tensor =>
  g.add(pairDistanceOp, [x, y], distance)[0]!;
