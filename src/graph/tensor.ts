/**
 * Element types. f16 and bf16 are storage only: two to a u32 word, widened to f32 where they are read.
 * So are nf4, codes of 4 bits and an f32 scale for every 64 of them, and nf4_double, whose scales are
 * 8 bits with scales of their own; see `layNf4`.
 */
export type DType = "f32" | "f16" | "bf16" | "u32" | "nf4" | "nf4_double";
export type Shape = readonly number[];

/**
 * Where a tensor's bytes live, and for how long:
 *  input     written by the host before a run
 *  constant  made by the host while recording; uploaded once
 *  frozen    base weights, by checkpoint name; uploaded once, never written
 *  trained   weights that learn; the arena `w`, written only by the optimizer
 *  gradient  the accumulated gradient of the trained tensor of the same name; the arena `g`
 *  arena     one whole page of an arena, as the optimizer sees it; named "w.0", "g.0", "m.0", "v.0", …
 *  state     lives between runs and is written by them: a key-value cache, a running loss
 *  value     everything else; lives in a planned slot from its first write to its last read
 */
export type Home =
  | "input"
  | "constant"
  | "frozen"
  | "trained"
  | "gradient"
  | "arena"
  | "state"
  | "value";

export interface Spec {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** A description of a tensor. It owns no memory, so it needs no dispose(). */
export interface Tensor extends Spec {
  readonly id: number;
  /** For weights, the checkpoint's name: "model.layers.3.self_attn.q_proj.weight". */
  readonly name: string;
  readonly home: Home;
  readonly needsGrad: boolean;
  /** Set when this tensor is another one after an update in place: the same bytes, later. */
  readonly storage?: Tensor;
  /** The content of a constant. */
  readonly data?: Float32Array | Uint32Array;
}

/** A stretch of a tensor, for binding: `offset` in elements, a multiple of 256 bytes. */
export interface View {
  readonly tensor: Tensor;
  readonly offset: number;
  readonly shape: Shape;
}

export const count = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);

/** Bytes on the device, rounded up to whole u32 words. */
export function bytesOf(t: Spec): number {
  const n = count(t.shape);
  if (t.dtype === "nf4") return 4 * (Math.ceil(n / 8) + Math.ceil(n / 64));
  if (t.dtype === "nf4_double") {
    const words = Math.ceil(n / 8) + 260 + Math.ceil(n / 2 ** 14) + Math.ceil(n / 256);
    return 16 * Math.ceil(words / 4);
  }
  const bytes = n * (t.dtype === "f32" || t.dtype === "u32" ? 4 : 2);
  return Math.ceil(bytes / 4) * 4;
}

/** Whether the numbers are 4-bit codes, which have no addresses of their own. */
export const isNf4 = (dtype: DType): dtype is "nf4" | "nf4_double" =>
  dtype === "nf4" || dtype === "nf4_double";

export const show = (t: Tensor): string => `${t.name} ${t.dtype}[${t.shape.join(", ")}]`;

/** The tensor whose bytes `t` occupies: itself, or what it updates in place. */
export function storageOf(t: Tensor): Tensor {
  while (t.storage) t = t.storage;
  return t;
}
