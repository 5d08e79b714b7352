import { uniform } from "../../src/base/random.ts";
import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { show, type Tensor } from "../../src/graph/tensor.ts";
import philox from "../common/philox.wgsl" with { type: "text" };
import { floatBits, numbers } from "../common/numbers.ts";
import code from "./sample.wgsl" with { type: "text" };

/** How the tokens of one request are drawn. */
export interface Sampling {
  /** 0 takes the most likely token, the lowest id on ties. */
  readonly temperature: number;
  /** Only so many of the likeliest tokens (Fan et al. 2018); 0 or absent keeps all. */
  readonly topK?: number;
  /** Smallest set of tokens whose probability reaches this (Holtzman et al. 2020); 1 keeps all. */
  readonly topP: number;
  /** Only tokens at least this times as likely as the likeliest (Nguyen et al. 2024); 0 keeps all. */
  readonly minP?: number;
  /** Logits of tokens that occurred are divided by this, negative ones multiplied (Keskar et al. 2019). */
  readonly repetitionPenalty?: number;
  readonly seed: number;
  /** Only tokens of the request's row of `allowed`. */
  readonly constrained?: boolean;
}

/** u32 words of a request's record in `ask`. */
export const ASK = 12;

/**
 * The record of one request, u32[ASK].
 * @param stream sets its random numbers apart from those of other requests with the same seed
 * @param start how many tokens its prompt has
 */
export function askOf(s: Sampling, stream: number, start: number): Uint32Array {
  const { temperature, topK = 0, topP, minP = 0, repetitionPenalty: penalty = 1, seed } = s;
  const floats = [
    temperature > 0 ? 1 / temperature : 0,
    topK,
    topP,
    minP > 0 ? Math.log(minP) : -3e38,
    penalty,
    1 / penalty,
  ];
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  return Uint32Array.of(
    ...floats.map(floatBits),
    seed >>> 0,
    high,
    stream,
    start,
    s.constrained ? 1 : 0,
    0,
  );
}

/** The tokens `ids`, as bits of a row of `seen` or `allowed`. */
export function tokenBits(ids: Iterable<number>, vocab: number): Uint32Array {
  const bits = new Uint32Array(Math.ceil(vocab / 32));
  for (const id of ids) bits[id >>> 5]! |= 1 << (id & 31);
  return bits;
}

/** The logit of a token that is not allowed. */
const BARRED = Math.fround(-3.4e38);

/** What the kernel does for one request, in float64. `doubt` is how near the nearest other choice was. */
export function draw(
  logits: ArrayLike<number>,
  ask: Uint32Array,
  seen: ArrayLike<number>,
  position: number,
  allowed: ArrayLike<number> = [],
): { token: number; doubt: number } {
  const [inverse, topK, topP, least, penalty, inversePenalty] = new Float32Array(
    ask.slice(0, 6).buffer,
  ) as unknown as [number, number, number, number, number, number];
  const z = Array.from(logits, (v, i) => {
    if (ask[10] !== 0 && !(allowed[i >>> 5]! >>> (i & 31) & 1)) return BARRED;
    if (penalty === 1 || !(seen[i >>> 5]! >>> (i & 31) & 1)) return v;
    return Math.fround(v * (v > 0 ? inversePenalty : penalty));
  });
  let best = 0;
  z.forEach((v, i) => v > z[best]! ? best = i : 0);
  if (inverse === 0) return { token: best, doubt: 1 };
  const weights = z.map((v) => Math.exp((v - z[best]!) * inverse));
  const order = [...z.keys()].sort((a, b) => z[b]! - z[a]!);
  let doubt = 1;
  /** How many of the first `among` are needed until `amount` of them reach `wanted`; equals stay together. */
  const cut = (among: number, wanted: number, amount: (i: number) => number) => {
    let kept = 0, sum = 0;
    while (kept < among && sum < wanted) {
      sum += amount(order[kept++]!);
      if (sum >= 0 && wanted > 0) doubt = Math.min(doubt, Math.abs(sum - wanted) / wanted);
    }
    while (kept < among && z[order[kept]!] === z[order[kept - 1]!]) kept++;
    return kept;
  };
  let kept = topK > 0 && topK < z.length ? cut(z.length, topK, () => 1) : z.length;
  doubt = 1; // counts are exact
  if (topP < 1) {
    const mass = order.slice(0, kept).reduce((sum, i) => sum + weights[i]!, 0);
    kept = cut(kept, topP * mass, (i) => weights[i]!);
  }
  const chosen = order.slice(0, kept).filter((i) => {
    const near = (z[i]! - z[best]!) * inverse;
    if (least > -1e38) doubt = Math.min(doubt, Math.abs(near - least));
    return near >= least;
  }).sort((a, b) => a - b);
  const mass = chosen.reduce((sum, i) => sum + weights[i]!, 0);
  const seed = ask[7]! * 2 ** 32 + ask[6]!;
  const target = uniform(seed, ask[8]!, position + 1 - ask[9]!) * mass;
  let sum = 0;
  for (const i of chosen) {
    sum += weights[i]!;
    doubt = Math.min(doubt, Math.abs(sum - target) / mass);
    if (sum > target) return { token: i, doubt };
  }
  return { token: chosen.at(-1)!, doubt };
}

/**
 * [logits f32[S,V], ask u32[S,ASK], cursor u32[S,4], seen u32[S,⌈V/32⌉], allowed u32[S,⌈V/32⌉]] ->
 * [seen, y u32[S]]; see `sample`.
 */
export const sampleOp: Op<null> = {
  name: "sample",
  updates: [3],
  infer([logits, ask, cursor, seen, allowed]) {
    const [S, V] = logits!.shape as [number, number];
    const fits = String(ask!.shape) === `${S},${ASK}` && String(cursor!.shape) === `${S},4` &&
      [seen, allowed].every((t) => String(t!.shape) === `${S},${Math.ceil(V / 32)}`) && V < 2 ** 24;
    if (!fits) {
      throw new Fail(
        `sample: ${[logits, ask, cursor, seen, allowed].map((t) => show(t!)).join(", ")}`,
      );
    }
    return [seen!, { shape: [S], dtype: "u32" }];
  },
  reference([logits, ask, cursor, seen, allowed], _attrs, { inputs }) {
    const [S, V] = inputs[0]!.shape as [number, number], words = Math.ceil(V / 32);
    const after = seen!.slice(), y = new Float64Array(S).fill(V);
    for (let s = 0; s < S; s++) {
      if (cursor![4 * s + 2] === 0) continue;
      const own = Uint32Array.from(ask!.subarray(s * ASK, (s + 1) * ASK));
      const bits = seen!.subarray(s * words, (s + 1) * words), at = cursor![4 * s + 1]!;
      const may = allowed!.subarray(s * words, (s + 1) * words);
      const { token } = draw(logits!.subarray(s * V, (s + 1) * V), own, bits, at, may);
      y[s] = token;
      const word = s * words + (token >>> 5);
      after[word] = (after[word]! | 1 << (token & 31)) >>> 0;
    }
    return [after, y];
  },
  launch({ inputs: [logits, ask, cursor, seen, allowed], outputs: [, y] }, can) {
    const [S, V] = logits!.shape as [number, number];
    return [{
      shader: {
        kernel: { file: "kernels/sample/sample.wgsl", code },
        parts: [{ file: "kernels/common/philox.wgsl", code: philox }],
        constants: { LANES: can.software ? 64 : 128 },
      },
      workgroups: [S, 1, 1],
      bind: [logits!, ask!, cursor!, seen!, allowed!, y!, numbers(V, Math.ceil(V / 32))],
    }];
  },
};

/**
 * Draws the next token of every request s with tokens left (cursor[s, 2] > 0) as ask[s] says: penalty,
 * temperature, top-k, top-p of what that kept, min-p, then a draw that depends on (seed, stream, number of
 * the token) alone. Tokens as likely as the last one kept are kept too. The token is marked as seen.
 * @returns u32[S]; V where nothing is drawn
 */
export function sample(
  g: Graph,
  logits: Tensor,
  o: Readonly<Record<"ask" | "cursor" | "seen" | "allowed", Tensor>>,
): Tensor {
  return g.add(sampleOp, [logits, o.ask, o.cursor, o.seen, o.allowed], null)[1]!;
}
