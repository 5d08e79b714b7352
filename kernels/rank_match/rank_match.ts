import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import code from "./rank_match.wgsl" with { type: "text" };

export interface RankAttrs {
  /** Match chosen with rejected answers by their log-ratios; else margins with those of the reference. */
  readonly answers: boolean;
}

/** [nll f32[2P,1], logps f32[2P], weights f32[P]] -> [map u32[2P], inverse u32[2P]]; see `rankMatch`. */
export const rankMatchOp: Op<RankAttrs> = {
  name: "rank_match",
  infer([nll, logps, weights]) {
    const P = count(weights!.shape);
    if (count(nll!.shape) !== 2 * P || count(logps!.shape) !== 2 * P) {
      throw new Fail(`rank_match: ${P} pairs do not fit ${[nll!, logps!].map(show).join(", ")}`);
    }
    return [0, 1].map(() => ({ shape: [2 * P], dtype: "u32" as const }));
  },
  reference([nll, logps, weights], { answers }) {
    const there = [...weights!.keys()].filter((p) => weights![p] !== 0), f = Math.fround;
    const ratio = (i: number) => f(-nll![i]! - logps![i]!);
    const a = (p: number) => answers ? ratio(2 * p) : f(nll![2 * p + 1]! - nll![2 * p]!);
    const b = (p: number) => answers ? ratio(2 * p + 1) : f(logps![2 * p]! - logps![2 * p + 1]!);
    const by = (of: (p: number) => number) => there.toSorted((p, q) => of(p) - of(q));
    const map = Float64Array.from({ length: nll!.length }, (_, i) => i), inverse = map.slice();
    const others = by(b);
    by(a).forEach((p, rank) => {
      const q = others[rank]!;
      for (const k of answers ? [1] : [0, 1]) {
        map[2 * p + k] = 2 * q + k;
        inverse[2 * q + k] = 2 * p + k;
      }
    });
    return [map, inverse];
  },
  launch: ({ inputs, outputs, attrs: { answers } }) => [{
    shader: {
      kernel: { file: "kernels/rank_match/rank_match.wgsl", code },
      constants: { ANSWERS: answers ? 1 : 0 },
    },
    workgroups: [1, 1, 1],
    bind: [...inputs, ...outputs],
  }],
  backward: () => [],
};

/**
 * The optimal transport in one dimension (Melnyk et al. 2024): the lowest with the lowest, and so on. For
 * `gatherRows` over answers f32[2P, 1]: chosen, rejected, …
 * @returns map u32[2P] and its inverse; they have no gradient
 * @throws Fail when shapes do not fit
 */
export function rankMatch(
  g: Graph,
  inputs: { readonly nll: Tensor; readonly logps: Tensor; readonly weights: Tensor },
  attrs: RankAttrs,
): { readonly map: Tensor; readonly inverse: Tensor } {
  const { nll, logps, weights } = inputs;
  const [map, inverse] = g.add(rankMatchOp, [nll, logps, weights], attrs);
  return { map: map!, inverse: inverse! };
}
