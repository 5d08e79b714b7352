/**
 * NF4, the 4-bit NormalFloat of QLoRA (Dettmers et al. 2023), bit by bit as bitsandbytes computes and
 * stores it: blocks of 64 numbers, each with its largest magnitude, and codes into a fixed table. Double
 * quantisation keeps those magnitudes as 8-bit codes in blocks of 256.
 */
import { allFinite, toF32 } from "../base/bits.ts";
import { Exit, Fail } from "../base/fail.ts";
import { createEncoder, type Encoder, type FloatType } from "./encode.ts";

/** Numbers that share one scale: neighbours in row-major order, also across rows. */
export const BLOCK = 64;
/** Scales that share one scale of their own under double quantisation. */
export const NESTED_BLOCK = 256;

/** The 16 values of a code: quantiles of the normal distribution, 0 among them, scaled to [-1, 1]. */
export const nf4Code: Float32Array = Float32Array.of(
  -1.0,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0.0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1.0,
);

/** A tensor in NF4: `codes` two to a byte, the first in the high nibble; one scale a block. */
export interface Nf4 {
  /** ceil(n / 2) */
  readonly codes: Uint8Array;
  /** ceil(n / 64) */
  readonly scales: Float32Array;
}

/** The scales of a tensor under double quantisation: scale = map[code] · nested scale + offset. */
export interface NestedScales {
  /** One a block of 64. */
  readonly codes: Uint8Array;
  /** One for 256 codes. */
  readonly scales: Float32Array;
  readonly offset: number;
  /** The 256 values of the codes, where they are not those of `dynamicMap`. */
  readonly map?: Float32Array;
}

const thresholds = (values: Float32Array): Float32Array =>
  Float32Array.from(values.subarray(1), (v, i) => Math.fround(values[i]! + v) / 2);

/** Of this thread; int8.ts uses it too. */
export const encoder: Encoder = createEncoder(thresholds(nf4Code));

/**
 * Quantises numbers, whole blocks but for the last: absmax, its reciprocal, product, nearest code (the
 * lower of two), each rounded to f32. A block of zeros gets scale 0.
 * @param name of the tensor, for the error
 * @throws Fail (data) when a number is NaN or infinite
 */
export function quantise(x: Float32Array, name?: string): Nf4 {
  return quantiseStored(new Uint8Array(x.buffer, x.byteOffset, x.byteLength), "F32", name);
}

/** The same from the bytes of a file. */
export function quantiseStored(bytes: Uint8Array, type: FloatType, name = "a tensor"): Nf4 {
  const n = bytes.length / (type === "F32" ? 4 : 2);
  const codes = new Uint8Array(Math.ceil(n / 2)), scales = new Float32Array(Math.ceil(n / BLOCK));
  encoder.nf4(bytes, type, codes, scales);
  if (!allFinite(scales)) {
    throw new Fail(`${name} holds ${notFinite(bytes, type)}, which has no place in NF4`, {
      why:
        "a block of 64 weights is scaled by its largest magnitude, which must be a finite number",
      fix: "fetch the model again; if its maker's file is so, load it with --quant none",
      exit: Exit.data,
    });
  }
  return { codes, scales };
}

/** The first number that is NaN or infinite. */
export const notFinite = (bytes: Uint8Array, type: FloatType): number | undefined =>
  toF32(bytes, type).find((v) => !Number.isFinite(v));

/** `n` numbers of a quantised tensor, the first ones unless told: code · scale, rounded to f32. */
export function dequantise({ codes, scales }: Nf4, n: number, from = 0): Float32Array {
  const out = new Float32Array(n);
  for (let i = 0, at = from; i < n; i++, at++) {
    const pair = codes[Math.floor(at / 2)]!;
    out[i] = nf4Code[at % 2 === 0 ? pair >> 4 : pair & 15]! * scales[Math.floor(at / BLOCK)]!;
  }
  return out;
}

/**
 * bitsandbytes' signed dynamic map of 8 bits (Dettmers 2015): seven decades, each cut twice as fine as
 * the one below, with 0 and 1; ascending, 256 values.
 */
export const dynamicMap: Float32Array = (() => {
  const f = Math.fround, values = [0, 1];
  for (let decade = 0; decade < 7; decade++) {
    const n = 2 ** decade, step = f(f(1 - f(0.1)) / n);
    // As torch's linspace: from the nearer end, product and sum rounded together.
    const edge = (i: number) => 2 * i < n + 1 ? f(f(0.1) + step * i) : f(1 - step * (n - i));
    for (let i = 0; i < n; i++) {
      const middle = f(f(edge(i) + edge(i + 1)) / 2), v = f(f(10 ** (decade - 6)) * middle);
      values.push(v, -v);
    }
  }
  return Float32Array.from(values).sort();
})();

const mapThresholds = thresholds(dynamicMap);

const least = Math.fround(1e-38);

/** For each of equal stretches of [-1, 1], how many thresholds lie below it: where to begin to look. */
const HALF = 1024;
const begin = Uint8Array.from(
  { length: 2 * HALF + 1 },
  (_, i) => mapThresholds.filter((t) => t < i / HALF - 1).length,
);

/**
 * The sum in f32, in the order in which torch adds on a CPU with 256-bit vectors: 32 running sums, each
 * begun anew after every 2^power numbers on up to four levels. The last bit of the mean decides what a
 * scale half-way between two codes becomes, and a model notices. (Sums of more than 32,768 numbers torch
 * shares out among its threads; their order is anybody's.)
 */
function sumInLanes(x: Float32Array): number {
  const f = Math.fround, LANES = 32, LEVELS = 4;
  const turns = Math.floor(x.length / LANES);
  const power = Math.max(4, Math.floor(Math.ceil(Math.log2(turns)) / LEVELS));
  const levels = Array.from({ length: LEVELS }, () => new Float32Array(LANES));
  const into = (to: Float32Array, add: Float32Array) => add.forEach((v, i) => to[i]! += v);
  for (let i = 0; i < turns; i++) {
    into(levels[0]!, x.subarray(i * LANES, (i + 1) * LANES));
    if ((i + 1) % 2 ** power !== 0) continue;
    for (let level = 1; level < LEVELS; level++) {
      into(levels[level]!, levels[level - 1]!);
      levels[level - 1]!.fill(0);
      if (((i + 1) >> (level * power)) % 2 ** power !== 0) break;
    }
  }
  const all = levels[0]!;
  for (const level of levels.slice(1)) into(all, level);
  let at = turns * LANES;
  for (; at + 8 <= x.length; at += 8) into(all, x.subarray(at, at + 8));
  for (let part = 8; part < LANES; part += 8) into(all, all.slice(part, part + 8));
  let sum = 0;
  for (; at < x.length; at++) sum = f(sum + x[at]!);
  for (let lane = 0; lane < 8; lane++) sum = f(sum + all[lane]!);
  return sum;
}

/** Double quantisation of a whole tensor's scales: their mean is taken off, the rest becomes 8 bits. */
export function nest(scales: Float32Array): NestedScales {
  const offset = Math.fround(sumInLanes(scales) / scales.length);
  const codes = new Uint8Array(scales.length);
  const nested = new Float32Array(Math.ceil(scales.length / NESTED_BLOCK));
  const rest = scales.map((s) => s - offset);
  for (let b = 0; b < nested.length; b++) {
    const from = b * NESTED_BLOCK, to = Math.min(rest.length, from + NESTED_BLOCK);
    let most = 0;
    for (let i = from; i < to; i++) most = Math.max(most, Math.abs(rest[i]!));
    nested[b] = most;
    const inverse = Math.fround(1 / Math.max(most, least));
    for (let i = from; i < to; i++) {
      const scaled = Math.min(1, Math.max(-1, Math.fround(rest[i]! * inverse)));
      let code = begin[(scaled * HALF + HALF) | 0]!;
      while (scaled > mapThresholds[code]!) code++; // beyond the last one undefined: not above it
      codes[i] = code;
    }
  }
  return { codes, scales: nested, offset };
}

/** The scales that double quantisation leaves, each step rounded to f32. */
export function unnest({ codes, scales, offset, map = dynamicMap }: NestedScales): Float32Array {
  const out = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) {
    out[i] = Math.fround(map[codes[i]!]! * scales[Math.floor(i / NESTED_BLOCK)]!) + offset;
  }
  return out;
}
