import type { Op } from "../../src/graph/graph.ts";
import { asHere } from "../common/testing.ts";
import { attentionBackward, attentionOp } from "./attention.ts";
import { checkKernel, noise, type Operand } from "../check.ts";

export interface Size {
  H: number;
  KV: number;
  D: number;
  /** Lengths of causal segments packed one after another; a negative one is padding that sees nothing. */
  segments: number[];
  scale?: number;
  cap?: number;
  dtype?: "f16";
}

function packed(segments: number[]) {
  const spans: number[] = [], reach: number[] = [];
  for (const length of segments) {
    const start = spans.length / 2, end = start + Math.abs(length);
    for (let t = start; t < end; t++) {
      spans.push(...(length < 0 ? [0, 0] : [start, t + 1]));
      reach.push(...(length < 0 ? [0, 0] : [t, end]));
    }
  }
  return { T: spans.length / 2, spans, reach };
}

/** A causal batch for the forward op. */
export function forwardOf({ H, KV, D, segments, scale = 1 / Math.sqrt(D), cap, dtype }: Size) {
  const { T, spans, reach } = packed(segments);
  return {
    op: attentionOp,
    attrs: { heads: H, kvHeads: KV, scale, cap },
    inputs: [
      { shape: [T, H * D], scale: 2, dtype },
      { shape: [T, KV * D], scale: 2, dtype },
      { shape: [T, KV * D], dtype },
      { shape: [T, 2], dtype: "u32" as const, data: spans },
      { shape: [T, 2], dtype: "u32" as const, data: reach },
    ],
  };
}

/** The operands of the backward op, with o and lse as the forward reference gives them. */
export function backwardOf(size: Size) {
  const { attrs, inputs } = forwardOf(size), next = noise(5);
  const drawn = inputs.map(({ shape, ...rest }) => {
    const { data, scale = 1 } = rest as Operand;
    const round = rest.dtype === "f16" ? Math.f16round : Math.fround;
    return Float64Array.from(
      data ?? Array.from({ length: shape[0]! * shape[1]! }, () => round(next() * scale)),
    );
  });
  const node = { op: attentionOp, attrs, inputs, outputs: [] } as never;
  const [o, lse] = attentionOp.reference(drawn, attrs, node);
  const T = inputs[0]!.shape[0]!;
  const given = inputs.map((operand, i) => ({ ...operand, data: drawn[i]! }));
  return {
    op: attentionBackward,
    attrs,
    inputs: [
      { shape: inputs[0]!.shape },
      ...given.slice(0, 3),
      { shape: inputs[0]!.shape, data: o!, dtype: size.dtype },
      { shape: [T, size.H], data: lse! },
      ...given.slice(3),
    ],
  };
}

/**
 * Scores are sums of D products of about 1, then exp, then a convex combination of values below 1: the
 * error of a weight is that of its score, 8 · 2^-24 · Σ|q·k| · scale, and of exp.
 */
export const bound = (_o: number, _i: number, want: number) => 6e-6 + 2e-6 * Math.abs(want);

/** Both directions; every variant, or only this device's. */
export async function checkAttention(size: Size, every = true): Promise<void> {
  const forward = forwardOf(size), back = backwardOf(size);
  const limited = <A>(op: Op<A>) => every ? op : asHere(op);
  await checkKernel({ ...forward, op: limited(forward.op) }, { bound });
  const rows = Math.max(...size.segments) * size.H / size.KV;
  await checkKernel({ ...back, op: limited(back.op) }, {
    bound: (_o, _i, want) => 4e-6 * Math.sqrt(rows) + 4e-6 * Math.abs(want),
  });
}
