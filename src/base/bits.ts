/** Number formats of weights on disk: sizes, and exact conversions to and from float32. */

/** Element types of safetensors files, with their size in bits. The order is the format's own. */
export const dtypeBits = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;
export type Dtype = keyof typeof dtypeBits;

const scratchF32 = new Float32Array(1);
const scratchU32 = new Uint32Array(scratchF32.buffer);

/** IEEE 754 binary16 bits of a float32 given by its bits: round to nearest even, NaN made quiet. */
function halfBits(u: number): number {
  const sign = (u >>> 16) & 0x8000;
  const a = u & 0x7fffffff;
  if (a >= 0x47800000) return sign | (a > 0x7f800000 ? 0x7e00 : 0x7c00);
  // Normal: rebias the exponent by 127 - 15; a carry out of the mantissa correctly becomes infinity.
  if (a >= 0x38800000) return sign | ((a - 0x38000000 + 0xfff + ((a >>> 13) & 1)) >>> 13);
  if (a < 0x33000000) return sign;
  const mantissa = (a & 0x7fffff) | 0x800000;
  const shift = 126 - (a >>> 23);
  return sign | ((mantissa + (1 << (shift - 1)) - 1 + ((mantissa >>> shift) & 1)) >>> shift);
}

function bfloatBits(u: number): number {
  if ((u & 0x7fffffff) > 0x7f800000) return (u >>> 16) | 0x40;
  return (u + 0x7fff + ((u >>> 16) & 1)) >>> 16;
}

function bitsOfHalf(h: number): number {
  const sign = (h & 0x8000) << 16;
  const exponent = (h >>> 10) & 31;
  const mantissa = h & 0x3ff;
  if (exponent === 31) {
    return (sign | 0x7f800000 | (mantissa === 0 ? 0 : (mantissa << 13) | 0x400000)) >>> 0;
  }
  if (exponent !== 0) return (sign | ((exponent + 112) << 23) | (mantissa << 13)) >>> 0;
  if (mantissa === 0) return sign >>> 0;
  const lift = Math.clz32(mantissa) - 21;
  return (sign | ((113 - lift) << 23) | ((mantissa << (13 + lift)) & 0x7fffff)) >>> 0;
}

let halfTable: Uint32Array | undefined;
function halfToBits(): Uint32Array {
  return halfTable ??= Uint32Array.from({ length: 65536 }, (_, h) => bitsOfHalf(h));
}

/** Bits of the nearest binary16 (ties to even, subnormals kept, NaN -> 0x7e00 with its sign). */
export function f32ToF16(x: number): number {
  scratchF32[0] = x;
  return halfBits(scratchU32[0]!);
}

/** Value of binary16 bits. */
export function f16ToF32(bits: number): number {
  scratchU32[0] = bitsOfHalf(bits & 0xffff);
  return scratchF32[0]!;
}

/** Bits of the nearest bfloat16 (ties to even, subnormals kept, NaN made quiet). */
export function f32ToBf16(x: number): number {
  scratchF32[0] = x;
  return bfloatBits(scratchU32[0]!);
}

/** Value of bfloat16 bits. */
export function bf16ToF32(bits: number): number {
  scratchU32[0] = (bits & 0xffff) << 16;
  return scratchF32[0]!;
}

function bitsOf(x: Float32Array): Uint32Array {
  return new Uint32Array(x.buffer, x.byteOffset, x.length);
}

/** float32 -> binary16 bits, element by element, as {@link f32ToF16}. */
export function toF16(x: Float32Array, out = new Uint16Array(x.length)): Uint16Array {
  const u = bitsOf(x);
  for (let i = 0; i < u.length; i++) out[i] = halfBits(u[i]!);
  return out;
}

/** float32 -> bfloat16 bits, element by element, as {@link f32ToBf16}. */
export function toBf16(x: Float32Array, out = new Uint16Array(x.length)): Uint16Array {
  const u = bitsOf(x);
  for (let i = 0; i < u.length; i++) out[i] = bfloatBits(u[i]!);
  return out;
}

/** binary16 bits -> float32, exact. */
export function fromF16(h: Uint16Array, out = new Float32Array(h.length)): Float32Array {
  const table = halfToBits();
  const u = bitsOf(out);
  for (let i = 0; i < h.length; i++) u[i] = table[h[i]!]!;
  return out;
}

/** bfloat16 bits -> float32, exact. */
export function fromBf16(h: Uint16Array, out = new Float32Array(h.length)): Float32Array {
  const u = bitsOf(out);
  for (let i = 0; i < h.length; i++) u[i] = h[i]! << 16;
  return out;
}

/** The bytes at an offset that is a multiple of `size`: a view if they already are, else a copy. */
function aligned(bytes: Uint8Array, size: number): Uint8Array {
  return bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
}

type View<T> = new (buffer: ArrayBufferLike, byteOffset: number, length: number) => T;
function viewAs<T>(bytes: Uint8Array, size: number, type: View<T>): T {
  if (bytes.byteLength % size !== 0) {
    throw new RangeError(`${bytes.byteLength} bytes are not a whole number of ${size}-byte values`);
  }
  const b = aligned(bytes, size);
  return new type(b.buffer, b.byteOffset, b.byteLength / size);
}

/** Whether {@link toF32} can read this type. */
export function convertible(dtype: Dtype): boolean {
  return !(/^F[468]|^C64/.test(dtype) && dtype !== "F64");
}

/**
 * Little-endian bytes of a tensor as float32. Exact for F32, F16, BF16, BOOL and 8- and 16-bit
 * integers; others round to nearest. For aligned F32 the result shares memory with `bytes`.
 * @throws RangeError on a length that does not fit; TypeError on F4, F6, F8 and C64.
 */
export function toF32(bytes: Uint8Array, dtype: Dtype): Float32Array {
  switch (dtype) {
    case "F32":
      return viewAs(bytes, 4, Float32Array);
    case "F16":
      return fromF16(viewAs(bytes, 2, Uint16Array));
    case "BF16":
      return fromBf16(viewAs(bytes, 2, Uint16Array));
    case "F64":
      return Float32Array.from(viewAs(bytes, 8, Float64Array));
    case "BOOL":
    case "U8":
      return Float32Array.from(bytes);
    case "I8":
      return Float32Array.from(viewAs(bytes, 1, Int8Array));
    case "I16":
      return Float32Array.from(viewAs(bytes, 2, Int16Array));
    case "U16":
      return Float32Array.from(viewAs(bytes, 2, Uint16Array));
    case "I32":
      return Float32Array.from(viewAs(bytes, 4, Int32Array));
    case "U32":
      return Float32Array.from(viewAs(bytes, 4, Uint32Array));
    case "I64":
      return Float32Array.from(viewAs(bytes, 8, BigInt64Array), Number);
    case "U64":
      return Float32Array.from(viewAs(bytes, 8, BigUint64Array), Number);
    default:
      throw new TypeError(`${dtype} has no conversion to float32`);
  }
}

/**
 * float32 values as the little-endian bytes of a floating-point type. For F32 the result shares
 * memory with `x`.
 */
export function fromF32(x: Float32Array, dtype: "F32" | "F16" | "BF16"): Uint8Array {
  const source = dtype === "F32" ? x : dtype === "F16" ? toF16(x) : toBf16(x);
  return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
}

/** Whether no value is NaN or infinite. */
export function allFinite(x: Float32Array): boolean {
  // 0 * x is NaN exactly for those, and NaN stays in the sum: no branch, and no early end to predict.
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += 0 * x[i]!;
  return sum === 0;
}
