import { Fail } from "../../src/base/fail.ts";

/** How a model stretches its positions, as `rope_scaling` of config.json says it. */
export type RopeScaling =
  | { readonly type: "linear"; readonly factor: number }
  | {
    /** NTK-aware: the base grows with what is longer than the model's context (bloc97, emozilla 2023). */
    readonly type: "dynamic";
    readonly factor: number;
    /** The context the model was made for, tokens. */
    readonly context: number;
  }
  | {
    /** Peng et al. 2023. */
    readonly type: "yarn";
    readonly factor: number;
    readonly originalContext: number;
    /** Rotations over the original context: above the first unchanged, below the second stretched. */
    readonly betaFast: number;
    readonly betaSlow: number;
    /** Whether the bounds of the step between are rounded to whole pairs. */
    readonly truncate: boolean;
    /** What cosine and sine are multiplied with. */
    readonly attentionFactor: number;
  }
  | {
    /** LongRoPE (Ding et al. 2024): a divisor for each pair, one list for short and one for long texts. */
    readonly type: "longrope";
    readonly short: readonly number[];
    readonly long: readonly number[];
    readonly originalContext: number;
    readonly attentionFactor: number;
  }
  | {
    readonly type: "llama3";
    readonly factor: number;
    readonly lowFrequencyFactor: number;
    readonly highFrequencyFactor: number;
    /** The context the model was trained on before stretching, tokens. */
    readonly originalContext: number;
  };

export interface RopeOptions {
  /** The base of the wavelengths, 10,000 in the paper. */
  readonly theta: number;
  /** R: how many numbers of a head are rotated. */
  readonly rotary: number;
  /**
   * P: how many positions the tables hold. Where a scaling depends on the length of a text, this is it: a
   * recorded step has one set of tables.
   */
  readonly positions: number;
  readonly scaling?: RopeScaling;
}

export interface RopeTables {
  /** f32[P, R/2] */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
  readonly positions: number;
  readonly rotary: number;
}

/**
 * theta^(-2i/R) for i < R/2, in f32, stretched as `scaling` says: divided by the factor everywhere
 * (linear), or only where the wavelength is long against the original context, with a smooth step
 * between (Llama 3, YaRN), by a list (LongRoPE), or with another theta (dynamic).
 * @throws Fail when R is odd or not positive
 */
export function inverseFrequencies(
  { theta, rotary, scaling, positions = 0 }:
    & Pick<RopeOptions, "theta" | "rotary" | "scaling">
    & Partial<Pick<RopeOptions, "positions">>,
): Float32Array {
  if (!(rotary > 0 && rotary % 2 === 0)) {
    throw new Fail(`rope turns pairs: the rotary width must be even and positive, found ${rotary}`);
  }
  const f = Math.fround;
  if (scaling?.type === "dynamic") {
    const { factor, context } = scaling, length = Math.max(positions, context);
    const grown = theta * (factor * length / context - (factor - 1)) ** (rotary / (rotary - 2));
    return inverseFrequencies({ theta: grown, rotary });
  }
  if (scaling?.type === "longrope") {
    for (const { length } of [scaling.short, scaling.long]) {
      if (length === rotary / 2) continue;
      throw new Fail(`rope: ${length} divisors for the ${rotary / 2} pairs of a head`);
    }
  }
  const ramp = scaling?.type === "yarn" ? yarnRamp(theta, rotary, scaling) : undefined;
  return Float32Array.from({ length: rotary / 2 }, (_, i) => {
    const power = f(theta ** f((2 * i) / rotary)), frequency = f(1 / power);
    if (!scaling) return frequency;
    if (scaling.type === "linear") return frequency / scaling.factor;
    if (scaling.type === "yarn") {
      const kept = f(1 - ramp!(i));
      return f(f(1 / f(scaling.factor * power)) * f(1 - kept)) + f(frequency * kept);
    }
    if (scaling.type === "longrope") {
      const divisors = positions > scaling.originalContext ? scaling.long : scaling.short;
      return 1 / f(f(divisors[i]!) * power);
    }
    const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = scaling;
    const waves = originalContext / f((2 * Math.PI) / frequency);
    if (waves > high) return frequency;
    if (waves < low) return frequency / factor;
    const smooth = (waves - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

/** How far pair i of YaRN is stretched: 0 where it turns often in the original context, 1 where seldom. */
function yarnRamp(
  theta: number,
  rotary: number,
  { betaFast, betaSlow, truncate, originalContext }: Extract<RopeScaling, { type: "yarn" }>,
): (pair: number) => number {
  const pairOf = (turns: number) =>
    rotary * Math.log(originalContext / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
  const [from, to] = [pairOf(betaFast), pairOf(betaSlow)];
  const low = Math.max(truncate ? Math.floor(from) : from, 0);
  const high = Math.min(truncate ? Math.ceil(to) : to, rotary - 1);
  const width = high === low ? 0.001 : high - low;
  return (pair) => Math.fround(Math.min(1, Math.max(0, (pair - low) / width)));
}

/**
 * Cosine and sine of position · frequency. The angle is rounded to f32 before the cosine is taken, as
 * in transformers: a model has been trained with that rounding.
 */
export function ropeTables(options: RopeOptions): RopeTables {
  const { rotary, positions } = options, half = rotary / 2;
  const frequencies = inverseFrequencies(options), { scaling } = options;
  const factor = scaling && "attentionFactor" in scaling ? scaling.attentionFactor : 1;
  const cos = new Float32Array(positions * half), sin = new Float32Array(positions * half);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(p * frequencies[i]!);
      cos[p * half + i] = Math.cos(angle) * factor;
      sin[p * half + i] = Math.sin(angle) * factor;
    }
  }
  return { cos, sin, positions, rotary };
}
