/** The part of the training settings that the update needs. */
export interface HyperSettings {
  /** Decay rates of the two moments, 0.9 and 0.999 as a rule. */
  readonly betas: readonly [number, number];
  readonly eps: number;
  /** Decoupled: a share of the weight, times the learning rate, at every step. */
  readonly weightDecay: number;
  /** Global L2 norm of the gradients above which they are scaled down; 0 never clips. */
  readonly maxGradNorm: number;
}

/** Elements of the tensor that `hyper` fills. */
export const hyperSize = 8;

/**
 * The numbers that `adamw` and `clip` read, for one step:
 *
 *  0  rate / (1 − β1ᵗ)    1  rate · weight decay    2  1 − β1         3  1 − β2
 *  4  ε                   5  √(1 − β2ᵗ)             6  maximal norm   7  0
 *
 * All are formed in float64: 1 − 0.999 of f32 numbers is off by 1e-5.
 * @param step t, counted from 1
 * @param rate learning rate of this step
 */
export function hyper(
  settings: HyperSettings,
  step: number,
  rate: number,
): Float32Array<ArrayBuffer> {
  const { betas: [beta1, beta2], eps, weightDecay, maxGradNorm } = settings;
  return Float32Array.of(
    rate / (1 - beta1 ** step),
    rate * weightDecay,
    1 - beta1,
    1 - beta2,
    eps,
    Math.sqrt(1 - beta2 ** step),
    maxGradNorm,
    0,
  );
}
