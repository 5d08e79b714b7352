import { Fail } from "../../src/base/fail.ts";

/** How a model stretches its positions, as `rope_scaling` of config.json says it. */
export type RopeScaling =
  | { readonly type: "linear"; readonly factor: number }
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
  /** P: how many positions the tables hold. */
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
 * between (Llama 3).
 * @throws Fail when R is odd or not positive
 */
export function inverseFrequencies(
  { theta, rotary, scaling }: Pick<RopeOptions, "theta" | "rotary" | "scaling">,
): Float32Array {
  if (!(rotary > 0 && rotary % 2 === 0)) {
    throw new Fail(`rope turns pairs: the rotary width must be even and positive, found ${rotary}`);
  }
  const f = Math.fround;
  return Float32Array.from({ length: rotary / 2 }, (_, i) => {
    const frequency = f(1 / f(theta ** f((2 * i) / rotary)));
    if (!scaling) return frequency;
    if (scaling.type === "linear") return frequency / scaling.factor;
    const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = scaling;
    const waves = originalContext / f((2 * Math.PI) / frequency);
    if (waves > high) return frequency;
    if (waves < low) return frequency / factor;
    const smooth = (waves - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

/**
 * Cosine and sine of position · frequency. The angle is rounded to f32 before the cosine is taken, as
 * in transformers: a model has been trained with that rounding.
 */
export function ropeTables(options: RopeOptions): RopeTables {
  const { rotary, positions } = options, half = rotary / 2;
  const frequencies = inverseFrequencies(options);
  const cos = new Float32Array(positions * half), sin = new Float32Array(positions * half);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(p * frequencies[i]!);
      cos[p * half + i] = Math.cos(angle);
      sin[p * half + i] = Math.sin(angle);
    }
  }
  return { cos, sin, positions, rotary };
}
