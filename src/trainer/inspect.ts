import type { Inspected } from "./trainer.ts";

/** One adapted module (or, training all weights, one weight) in one step; all L2 norms. */
export interface ModuleNorms {
  readonly gradient: number;
  /** Of the change that the update made. */
  readonly update: number;
  /** Of the trained numbers after it. */
  readonly weight: number;
}

/** The module a trained tensor belongs to: "model.layers.0.self_attn.q_proj" for its lora_A and lora_B. */
export const moduleOf = (tensor: string): string =>
  tensor.replace(/(\.lora_[AB])?\.weight$|\.lora_magnitude_vector$/, "");

/** Sums what is seen of single tensors up into their modules, in the order of first mention. */
export class Norms {
  readonly #squares = new Map<string, [gradient: number, update: number, weight: number]>();

  add({ name, gradient, before, after }: Inspected): void {
    const key = moduleOf(name), sums = this.#squares.get(key) ?? [0, 0, 0];
    for (let i = 0; i < after.length; i++) {
      sums[0] += gradient[i]! ** 2;
      sums[1] += (after[i]! - before[i]!) ** 2;
      sums[2] += after[i]! ** 2;
    }
    this.#squares.set(key, sums);
  }

  get modules(): Map<string, ModuleNorms> {
    return new Map(
      [...this.#squares].map(([name, [g, u, w]]) => [
        name,
        { gradient: Math.sqrt(g), update: Math.sqrt(u), weight: Math.sqrt(w) },
      ]),
    );
  }
}

/** The steps worth a look: the first, the last, and about `looks` between, evenly. */
export function inspectionDue(step: number, steps: number, looks = 24): boolean {
  return step === 1 || step === steps || step % Math.max(1, Math.ceil(steps / looks)) === 0;
}
