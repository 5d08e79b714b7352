import type { SftExample } from "../../data/rows.ts";
import type { Tried } from "../../evaluate/adversarial.ts";
import type { Comparison } from "../../evaluate/compare.ts";
import type { Judged } from "../../evaluate/judge.ts";
import type { Gated } from "./gate.ts";

/** What one model's answers came to. */
export interface Measured {
  readonly measures: Gated;
  readonly judged: readonly Judged[];
  readonly tried?: readonly Tried[];
}

/** Everything that an evaluation found, as its files and its page tell it. */
export interface Outcome {
  /** What --json prints. */
  readonly answer: object;
  readonly before?: Measured;
  readonly after: Measured;
  readonly examples: readonly SftExample[];
  readonly compared?: Comparison;
  readonly said: readonly string[];
  readonly signs: readonly string[];
}
