import { Fail } from "../../src/base/fail.ts";
import type { Source } from "../../src/gpu/link.ts";
import { type DType, show, type Tensor } from "../../src/graph/tensor.ts";
import halfCode from "./half.wgsl" with { type: "text" };
import f16 from "./stored_f16.wgsl" with { type: "text" };
import f32 from "./stored_f32.wgsl" with { type: "text" };

/** How activations are kept between ops; arithmetic is always f32. */
export type Storage = "f32" | "f16";

/** The largest number that f16 holds. What is larger is stored as this. */
export const MOST_F16 = 65504;

/** The part with to_half, from_half and half_pair. */
export const half: Source = { file: "kernels/common/half.wgsl", code: halfCode };

/** The parts that define Stored, widened and narrowed for a kernel whose Vec is there already. */
export const stored = (dtype: DType): Source[] =>
  dtype === "f16"
    ? [half, { file: "kernels/common/stored_f16.wgsl", code: f16 }]
    : [{ file: "kernels/common/stored_f32.wgsl", code: f32 }];

/** `wanted` for rows of `width` numbers; f16 is written four at a time, so other widths are kept in f32. */
export const storedAs = (wanted: Storage, width: number): Storage =>
  width % 4 === 0 ? wanted : "f32";

/**
 * The one type in which an op's activations are stored.
 * @throws Fail naming them where they differ, or are stored in a way that no kernel reads
 */
export function storage(op: string, ...activations: readonly Tensor[]): Storage {
  const [{ dtype }] = activations as [Tensor];
  const fit = (t: Tensor) => t.dtype === dtype && (dtype === "f32" || t.shape.at(-1)! % 4 === 0);
  if ((dtype === "f32" || dtype === "f16") && activations.every(fit)) return dtype;
  throw new Fail(
    `${op}: expected f32, or f16 in rows of whole fours, found ${activations.map(show).join(", ")}`,
  );
}

/** @throws Fail naming the first of `tensors` that is not f32: its kernels read nothing else */
export function onlyF32(op: string, ...tensors: readonly Tensor[]): void {
  const other = tensors.find((t) => t.dtype !== "f32");
  if (other) throw new Fail(`${op}: expected f32, found ${show(other)}`);
}
