import { Fail } from "../../src/base/fail.ts";
import type { Capabilities } from "../../src/gpu/device.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { capped, capping, slope } from "../common/cap.ts";
import { grid } from "../common/grid.ts";
import { storage, stored } from "../common/stored.ts";
import { firstOf, lastOf } from "../window/window.ts";
import forward from "./attention.wgsl" with { type: "text" };
import forwardSubgroup from "./attention_subgroup.wgsl" with { type: "text" };
import backwardKv from "./backward_kv.wgsl" with { type: "text" };
import backwardKvSubgroup from "./backward_kv_subgroup.wgsl" with { type: "text" };
import backwardQ from "./backward_q.wgsl" with { type: "text" };
import backwardQSubgroup from "./backward_q_subgroup.wgsl" with { type: "text" };
import decode from "./decode.wgsl" with { type: "text" };
import delta from "./delta.wgsl" with { type: "text" };
import dotF32 from "./dot_f32.wgsl" with { type: "text" };
import dotVec4 from "./dot_vec4.wgsl" with { type: "text" };
import pagedRows from "./paged_rows.wgsl" with { type: "text" };
import wholeRows from "./whole_rows.wgsl" with { type: "text" };
import exchange from "./exchange.wgsl" with { type: "text" };
import runs from "./runs.wgsl" with { type: "text" };
import tile from "./tile.wgsl" with { type: "text" };

export interface AttentionAttrs {
  /** H, query heads. */
  readonly heads: number;
  /** Key and value heads, a divisor of H; each serves H / kvHeads query heads in a row. */
  readonly kvHeads: number;
  /** What the scores are multiplied with, usually 1/sqrt(D). */
  readonly scale: number;
  /** Scores s become cap · tanh(s / cap) before the softmax, as in Gemma 2. */
  readonly cap?: number;
  /** Keys and values lie in pages of so many rows: see `attentionOp`. */
  readonly page?: number;
}

/**
 * Softmax attention over spans of keys, without ever holding a row of scores (Dao et al. 2022).
 * Inputs q[T, H·D], k and v[S, KV·D], all f32 or, with D a multiple of 4, all f16, spans u32[T, 2], and reach u32[S, 2] where it trains.
 * Row t sees the keys spans[t] = [lo, hi), none where lo >= hi; key s is seen by the rows reach[s],
 * which must say the same. In a causal batch of packed segments these are [start of the segment, t+1)
 * and [s, end of the segment); with a key-value cache, [base, base + position + 1).
 * With pages of P rows, for a cache: a fifth input pages u32[N] in the place of reach, and key s is row
 * pages[s / P]·P + s % P of k and v. Nothing learns through pages.
 * Outputs o[T, H·D], stored as q is, and lse f32[T, H], the logarithm of each softmax's denominator. D is at most 256.
 */
export const attentionOp: Op<AttentionAttrs> = {
  name: "attention",
  infer(inputs, attrs) {
    const { T, wide } = sizes(inputs, attrs), dtype = storage("attention", ...inputs.slice(0, 3));
    if (dtype === "f16" && wide !== 4) {
      throw new Fail(`attention: heads that are no multiple of 4 must be f32: ${show(inputs[0]!)}`);
    }
    return [{ shape: inputs[0]!.shape, dtype }, { shape: [T, attrs.heads], dtype: "f32" }];
  },
  reference([q, k, v, spans, pages], attrs, { inputs }) {
    const { T, H, KV, D } = sizes(inputs, attrs), { page } = attrs;
    const place = (key: number) => page ? pages![Math.floor(key / page)]! * page + key % page : key;
    const o = new Float64Array(T * H * D), lse = new Float64Array(T * H);
    for (let t = 0; t < T; t++) {
      const [lo, hi] = [spans![2 * t]!, spans![2 * t + 1]!];
      for (let h = 0; h < H && lo < hi; h++) {
        const row = (t * H + h) * D, group = Math.floor(h / (H / KV));
        const scores = Array.from({ length: hi - lo }, (_, i) => {
          let score = 0;
          const key = (place(lo + i) * KV + group) * D;
          for (let d = 0; d < D; d++) score += q![row + d]! * k![key + d]!;
          return capped(score * attrs.scale, attrs.cap);
        });
        const high = scores.reduce((a, b) => Math.max(a, b));
        const total = scores.reduce((sum, score) => sum + Math.exp(score - high), 0);
        lse[t * H + h] = high + Math.log(total);
        scores.forEach((score, i) => {
          const p = Math.exp(score - high) / total, key = (place(lo + i) * KV + group) * D;
          for (let d = 0; d < D; d++) o[row + d]! += p * v![key + d]!;
        });
      }
    }
    return [o, lse];
  },
  launch(node, can) {
    const { T, H, KV, wide, W } = sizes(node.inputs, node.attrs);
    const { page } = node.attrs, paged: Record<string, number> = page ? { PAGE: page } : {};
    const rowsOf = page ? source("paged_rows", pagedRows) : source("whole_rows", wholeRows);
    const bind = [
      ...node.inputs.slice(0, 4),
      ...node.outputs,
      ...(page ? [node.inputs[4]!] : []),
    ];
    const { alias, parts } = vectors(wide, node.inputs[0]!);
    if (T <= 16) {
      const { part, constants: cap } = capping(node.attrs.cap);
      const shader = {
        kernel: source("decode", decode),
        parts: [...parts, part, rowsOf],
        alias: { ...alias, Scores: "vec4f" },
        constants: { H, KV, W, SCALE: node.attrs.scale, ...cap, ...paged },
      };
      return [{ shader, workgroups: [T, H, 1], bind }];
    }
    const { rows, forward, ...shader } = tiles(node.attrs, W, vectors(wide, node.inputs[0]!), can);
    return [{
      shader: {
        ...shader,
        kernel: forward,
        parts: [...shader.parts, rowsOf],
        constants: { ...shader.constants, ...paged },
      },
      workgroups: [Math.ceil(T / rows), H, 1],
      bind,
    }];
  },
  backward(g, { inputs: [q, k, v, spans, reach], outputs: [o, lse], attrs }, [dout]) {
    if (!reach) throw new Fail(`attention: ${show(q!)} needs a gradient, but reach was not given`);
    if (!dout) return [];
    const inputs = [dout, q!, k!, v!, o!, lse!, spans!, reach];
    return g.add(attentionBackward, inputs, attrs).slice(0, 3);
  },
};

/**
 * Inputs dout f32[T, H·D], q, k, v, o, lse, spans, reach as above; outputs, all f32, dq f32[T, H·D],
 * dk and dv f32[S, KV·D], and scratch f32[T, H, 2].
 */
export const attentionBackward: Op<AttentionAttrs> = {
  name: "attention_backward",
  infer([, q, k, v], { heads }) {
    const stats = { shape: [q!.shape[0]!, heads, 2], dtype: "f32" as const };
    return [...[q!, k!, v!].map(({ shape }) => ({ shape, dtype: "f32" as const })), stats];
  },
  reference([dout, q, k, v, o, lse, spans], attrs, { inputs }) {
    const { T, S, H, KV, D } = sizes(inputs.slice(1, 4), attrs);
    const dq = new Float64Array(T * H * D), stats = new Float64Array(T * H * 2);
    const dk = new Float64Array(S * KV * D), dv = dk.slice();
    for (let t = 0; t < T; t++) {
      for (let h = 0; h < H; h++) {
        const row = (t * H + h) * D, group = Math.floor(h / (H / KV));
        let delta = 0;
        for (let d = 0; d < D; d++) delta += dout![row + d]! * o![row + d]!;
        stats.set([lse![t * H + h]!, delta], (t * H + h) * 2);
        for (let s = spans![2 * t]!; s < spans![2 * t + 1]!; s++) {
          const key = (s * KV + group) * D;
          let score = 0, dp = 0;
          for (let d = 0; d < D; d++) {
            score += q![row + d]! * k![key + d]!;
            dp += dout![row + d]! * v![key + d]!;
          }
          const z = capped(attrs.scale * score, attrs.cap), p = Math.exp(z - lse![t * H + h]!);
          const ds = attrs.scale * p * (dp - delta) * slope(z, attrs.cap);
          for (let d = 0; d < D; d++) {
            dq[row + d]! += ds * k![key + d]!;
            dk[key + d]! += ds * q![row + d]!;
            dv[key + d]! += p * dout![row + d]!;
          }
        }
      }
    }
    return [dq, dk, dv, stats];
  },
  launch({ inputs, outputs: [dq, dk, dv, stats], attrs }, can) {
    const [dout, q, k, v, o, lse, spans, reach] = inputs;
    const { T, S, H, KV, wide, W } = sizes(inputs.slice(1, 4), attrs);
    const { rows, backwardQ, backwardKv, ...shader } = tiles(attrs, W, vectors(wide, q!), can);
    const { alias, parts } = vectors(wide, q!);
    const first = source("delta", delta);
    return [
      {
        shader: { kernel: first, parts, alias, constants: { W } },
        workgroups: grid(Math.ceil(T * H / 64)),
        bind: [dout!, o!, lse!, stats!],
      },
      {
        shader: { ...shader, kernel: backwardQ },
        workgroups: [Math.ceil(T / rows), H, 1],
        bind: [dout!, q!, k!, v!, stats!, spans!, dq!],
      },
      {
        shader: { ...shader, kernel: backwardKv },
        workgroups: [Math.ceil(S / rows), KV, 1],
        bind: [dout!, q!, k!, v!, stats!, reach!, dk!, dv!],
      },
    ];
  },
};

const source = (name: string, code: string) => ({ file: `kernels/attention/${name}.wgsl`, code });

/**
 * The kernels for many rows: by tiles in workgroup memory, or, where a subgroup has eight lanes (CPU
 * adapters: Mesa's with 256-bit vectors), by exchange inside it, which such adapters run and compile
 * much faster.
 */
function tiles(
  attrs: AttentionAttrs,
  W: number,
  vec: ReturnType<typeof vectors>,
  can: Capabilities,
) {
  const alias = { ...vec.alias, Scores: "vec4f" };
  const run = source("runs", runs), { part, constants: cap } = capping(attrs.cap);
  const constants = { H: attrs.heads, KV: attrs.kvHeads, W, SCALE: attrs.scale, ...cap };
  if (can.subgroupSize === 8) {
    return {
      rows: 8,
      alias,
      parts: [...vec.parts, run, part, source("exchange", exchange)],
      constants,
      forward: source("attention_subgroup", forwardSubgroup),
      backwardQ: source("backward_q_subgroup", backwardQSubgroup),
      backwardKv: source("backward_kv_subgroup", backwardKvSubgroup),
    };
  }
  const TILE = can.maxWorkgroupStorage < 20_000 ? 16 : 32;
  return {
    rows: TILE,
    alias,
    parts: [...vec.parts, run, part, source("tile", tile)],
    constants: { ...constants, TILE },
    forward: source("attention", forward),
    backwardQ: source("backward_q", backwardQ),
    backwardKv: source("backward_kv", backwardKv),
  };
}

/** What a Vec is, and how the activations, of which `like` is one, are stored. */
function vectors(wide: number, like: Tensor) {
  const dot = wide === 4 ? source("dot_vec4", dotVec4) : source("dot_f32", dotF32);
  return { alias: { Vec: wide === 4 ? "vec4f" : "f32" }, parts: [dot, ...stored(like.dtype)] };
}

/** Sizes of q, k, v, with `wide` numbers to a Vec and W Vecs to a head. Throws what `infer` throws. */
function sizes(inputs: readonly Tensor[], { heads: H, kvHeads: KV, page }: AttentionAttrs) {
  const [q, k, v, spans, reach] = inputs;
  const [T, width] = q!.shape as [number, number], S = k!.shape[0]!, D = width / H;
  const fits = Number.isInteger(D) && D <= 256 && H % KV === 0 && k!.shape[1] === KV * D &&
    String(k!.shape) === String(v!.shape) && (!spans || count(spans.shape) === 2 * T) &&
    (!reach || page !== undefined || count(reach.shape) === 2 * S);
  if (!fits) {
    throw new Fail(
      `attention: ${H} heads and ${KV} key heads of at most 256 numbers do not fit ` +
        inputs.map(show).join(", "),
    );
  }
  const wide = D % 4 === 0 ? 4 : 1;
  return { T, S, H, KV, D, wide, W: D / wide };
}

/** o f32[T, H·D]: q attends to k and v; see `attentionOp` for the shapes. */
export function attention(
  g: Graph,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { spans, reach, pages, window, ...attrs }: AttentionAttrs & {
    readonly spans: Tensor;
    readonly reach?: Tensor;
    /** Goes with `page`. */
    readonly pages?: Tensor;
    /** A row sees the last so many keys of its span only: a sliding window, its own key included. */
    readonly window?: number;
  },
): Tensor {
  const inputs = [q, k, v, window ? lastOf(g, spans, window) : spans];
  if (pages) inputs.push(pages);
  else if (reach) inputs.push(window ? firstOf(g, reach, window) : reach);
  return g.add(attentionOp, inputs, attrs)[0]!;
}
