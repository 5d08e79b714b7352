import { codedBytes, type CodedDType } from "../formats/coded_bytes.ts";

/**
 * Element types. f16 and bf16 are storage only: two to a u32 word, widened to f32 where they are read.
 * So are codes that share scales.
 */
export type DType = "f32" | "f16" | "bf16" | "u32" | CodedDType;
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
  /** Set when this tensor is another one after an update in place, or a stretch of one: its bytes. */
  readonly storage?: Tensor;
  /** Where a stretch begins in its storage, in elements. */
  readonly offset?: number;
  /** The content of a constant. */
  readonly data?: Float32Array | Uint32Array;
}

/**
 * A stretch of a tensor, for binding: `offset` in elements, a multiple of 256 bytes; of blocks of GGUF some
 * rows, as `rowRanges` cuts them.
 */
export interface View {
  readonly tensor: Tensor;
  readonly offset: number;
  readonly shape: Shape;
}

export const count = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);

/** Bytes of one number; absent for codes, which share scales and cannot be bound in stretches. */
export const sizes: { readonly [dtype in DType]?: number } = { f32: 4, u32: 4, f16: 2, bf16: 2 };

/** Bytes on the device, rounded up to whole u32 words. */
export const bytesOf = ({ shape, dtype }: Spec): number =>
  codedBytes(shape, dtype) ?? 4 * Math.ceil(count(shape) * sizes[dtype]! / 4);

export const show = (t: Tensor): string => `${t.name} ${t.dtype}[${t.shape.join(", ")}]`;

/** The tensor among whose bytes those of `t` are: itself, what it updates in place, what it is a stretch of. */
export function storageOf(t: Tensor): Tensor {
  while (t.storage) t = t.storage;
  return t;
}

/** Where `t` begins among the bytes of `storageOf(t)`. */
export const offsetOf = (t: Tensor): number =>
  t.storage ? offsetOf(t.storage) + (t.offset ?? 0) * sizes[t.dtype]! : 0;
