import type { Source } from "../../src/gpu/link.ts";
import cappedCode from "./capped.wgsl" with { type: "text" };
import uncappedCode from "./uncapped.wgsl" with { type: "text" };

/** A logit soft cap: s becomes cap · tanh(s / cap); undefined leaves it. */
export const capped = (s: number, cap: number | undefined): number =>
  cap === undefined ? s : cap * Math.tanh(s / cap);

/** The derivative of `capped` where its result is c. */
export const slope = (c: number, cap: number | undefined): number =>
  cap === undefined ? 1 : (1 - c / cap) * (1 + c / cap);

/** What gives a kernel `capped` and `slope`; it says what its Scores are. */
export function capping(
  cap: number | undefined,
): { readonly part: Source; readonly constants: Record<string, number> } {
  return cap === undefined
    ? { part: { file: "kernels/common/uncapped.wgsl", code: uncappedCode }, constants: {} }
    : { part: { file: "kernels/common/capped.wgsl", code: cappedCode }, constants: { CAP: cap } };
}
