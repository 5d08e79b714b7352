import { uniform } from "../base/random.ts";

export interface Sampling {
  /** 0 takes the most likely token. */
  readonly temperature: number;
  /** Smallest set of tokens whose probability reaches this (Holtzman et al. 2020); 1 keeps all. */
  readonly topP: number;
  readonly seed: number;
}

/** The most likely token; the lowest id on ties. */
export function argmax(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}

/**
 * Draws one token. The draw depends on (seed, request, index) alone, so answers do not depend on which
 * requests happen to run together.
 * @param request number of the request; @param index number of the token in its answer
 */
export function sample(logits: Float32Array, s: Sampling, request: number, index: number): number {
  if (s.temperature <= 0) return argmax(logits);
  const top = logits[argmax(logits)]!;
  const weights = Float64Array.from(logits, (l) => Math.exp((l - top) / s.temperature));
  const order = [...weights.keys()].sort((a, b) => weights[b]! - weights[a]! || a - b);
  const total = weights.reduce((a, b) => a + b, 0);
  let kept = 0, mass = 0;
  while (kept < order.length && (kept === 0 || mass < s.topP * total)) {
    mass += weights[order[kept++]!]!;
  }
  let at = uniform(s.seed, request, index) * mass;
  for (let i = 0; i < kept; i++) if ((at -= weights[order[i]!]!) < 0) return order[i]!;
  return order[kept - 1]!;
}
