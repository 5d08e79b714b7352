/**
 * The inner loops of quantisation, four numbers at a time. Numbers come as they are stored, in pieces:
 * they are widened to f32, then made codes; `nf4.ts` and `int8.ts` say what codes mean.
 */
import {
  type Code,
  f32,
  f32x4,
  i16x8,
  i32,
  i32x4,
  i8x16,
  type Local,
  repeatWhile,
  v128,
  type WasmFunction,
  wasmModule,
} from "./wasm.ts";

/** How numbers may be stored before they are quantised. */
export type FloatType = "F32" | "F16" | "BF16";
/** Bytes of a number. */
export const sizeOf = { F32: 4, F16: 2, BF16: 2 } as const;

const { and, or, without, load, store } = v128;
const infinity = i32x4.const(0x7f80_0000);

/** A magnitude beyond f16 made infinite, or NaN where it was: its exponent becomes all ones. */
const bounded = (x: Local): Code =>
  or(x, and(infinity, f32x4.ge(f32x4.abs(x), f32x4.const(65536))));

/** Widens 8 numbers of 16 bits a turn, `count` of them: from `at` to `to`. */
function widening(widen: (bits: Code, x: Local) => Code): WasmFunction {
  return {
    parameters: ["i32", "i32", "i32"],
    body([at, to, count], declare) {
      const { end } = declare("i32", "end"), { bits, x } = declare("v128", "bits", "x");
      return [
        end.set(i32.add(to!, i32.mul(count!, i32.const(4)))),
        repeatWhile(
          i32.lt(to!, end),
          bits.set(load(at!, 0)),
          widen(i32x4.extendLow(bits), x),
          store(to!, 0, x),
          widen(i32x4.extendHigh(bits), x),
          store(to!, 16, x),
          at!.set(i32.add(at!, i32.const(16))),
          to!.set(i32.add(to!, i32.const(32))),
        ),
      ].flat();
    },
  };
}

/** Exponent and fraction put where f32 has them are 2⁻¹¹² times the number, also below the normal range. */
const widenF16 = widening((bits, x) =>
  [
    x.set(i32x4.shiftLeft(and(bits, i32x4.const(0x7fff)), 13)),
    x.set(f32x4.mul(x, f32x4.const(2 ** 112))),
    x.set(or(bounded(x), i32x4.shiftLeft(and(bits, i32x4.const(0x8000)), 16))),
  ].flat()
);
const widenBf16 = widening((bits, x) => x.set(i32x4.shiftLeft(bits, 16)));

/** Rounds `count` f32 at `at` to the nearest f16, half to even, in place. */
const roundToF16: WasmFunction = {
  parameters: ["i32", "i32"],
  body([at, count], declare) {
    const { end } = declare("i32", "end"),
      { x, sign, small } = declare("v128", "x", "sign", "small");
    const fraction = i32x4.const(0x1fff), half = f32x4.const(0.5);
    return [
      end.set(i32.add(at!, i32.mul(count!, i32.const(4)))),
      repeatWhile(
        i32.lt(at!, end),
        x.set(load(at!, 0)),
        sign.set(and(x, i32x4.const(-0x8000_0000))),
        x.set(f32x4.abs(x)),
        // Below the normal range f16 counts in steps of 2⁻²⁴, as f32 does from 1/2 to 1.
        small.set(f32x4.lt(x, f32x4.const(2 ** -14))),
        x.set(v128.select(
          f32x4.sub(f32x4.add(x, half), half),
          without(
            i32x4.add(
              i32x4.add(x, i32x4.const(0xfff)),
              and(i32x4.shiftRight(x, 13), i32x4.const(1)),
            ),
            fraction,
          ),
          small,
        )),
        store(at!, 0, or(bounded(x), sign)),
        at!.set(i32.add(at!, i32.const(16))),
      ),
    ].flat();
  },
};

const LEAST = Math.fround(1e-38);

/**
 * The largest magnitude in a vector, or NaN where one is among them. To compare as integers is the same
 * for magnitudes, and keeps NaN, which is above them all.
 */
const largestOf = (most: Local): Code =>
  f32.max(
    f32.max(f32x4.lane(most, 0), f32x4.lane(most, 1)),
    f32.max(f32x4.lane(most, 2), f32x4.lane(most, 3)),
  );

/**
 * Makes blocks of 64 f32 at `at` codes (two a byte) at `codes` and scales at `scales`: each code is the
 * number of `thresholds` that the number is above, once it is divided by the scale.
 */
const nf4 = (thresholds: Float32Array): WasmFunction => ({
  parameters: ["i32", "i32", "i32", "i32"],
  body([at, blocks, codes, scales], declare) {
    const { end } = declare("i32", "end"), { scale } = declare("f32", "scale");
    const v = declare("v128", "most", "inverse", "threshold", "words", "half");
    const x = Object.values(declare("v128", "x0", "x1", "x2", "x3"));
    const n = Object.values(declare("v128", "n0", "n1", "n2", "n3"));
    // Codes of 16 numbers, then of each two of them one byte in 16 bits.
    const sixteen = (from: number): Code =>
      [
        ...x.map((x, i) => x.set(f32x4.mul(load(at!, from + 16 * i), v.inverse))),
        ...n.map((n) => n.set(i32x4.const(0))),
        ...[...thresholds].flatMap((t) => [
          v.threshold.set(f32x4.const(t)),
          ...n.map((n, i) => n.set(i32x4.sub(n, f32x4.gt(x[i]!, v.threshold)))),
        ]),
        v.words.set(
          i8x16.narrowUnsigned(i16x8.narrow(n[0]!, n[1]!), i16x8.narrow(n[2]!, n[3]!)),
        ),
        v.words.set(or(
          and(i16x8.shiftLeft(v.words, 4), i32x4.const(0x00f0_00f0)),
          i16x8.shiftRight(v.words, 8),
        )),
      ].flat();
    const thirtyTwo = (i: number): Code =>
      [
        sixteen(128 * i),
        v.half.set(v.words),
        sixteen(128 * i + 64),
        store(codes!, 16 * i, i8x16.narrowUnsigned(v.half, v.words)),
      ].flat();
    return [
      end.set(i32.add(at!, i32.mul(blocks!, i32.const(256)))),
      repeatWhile(
        i32.lt(at!, end),
        v.most.set(f32x4.abs(load(at!, 0))),
        ...Array.from(
          { length: 15 },
          (_, i) => v.most.set(i32x4.max(v.most, f32x4.abs(load(at!, 16 * (i + 1))))),
        ),
        scale.set(largestOf(v.most)),
        f32.store(scales!, 0, scale),
        v.inverse.set(f32x4.splat(f32.div(f32.const(1), f32.max(scale, f32.const(LEAST))))),
        thirtyTwo(0),
        thirtyTwo(1),
        at!.set(i32.add(at!, i32.const(256))),
        codes!.set(i32.add(codes!, i32.const(32))),
        scales!.set(i32.add(scales!, i32.const(4))),
      ),
    ].flat();
  },
});

const LARGEST = Math.fround(3.4028234663852886e38);

/** Makes one row of `count` f32 at `at`, a multiple of 16, codes of 8 bits at `codes`; absmax at `scale`. */
const int8: WasmFunction = {
  parameters: ["i32", "i32", "i32", "i32"],
  body([at, count, codes, scale], declare) {
    const { from, end } = declare("i32", "from", "end"), { largest } = declare("f32", "largest");
    const { most, factor } = declare("v128", "most", "factor");
    const step = (i: number): Code =>
      f32x4.toInteger(f32x4.nearest(f32x4.mul(load(from, 16 * i), factor)));
    const next = from.set(i32.add(from, i32.const(64)));
    return [
      end.set(i32.add(at!, i32.mul(count!, i32.const(4)))),
      from.set(at!),
      repeatWhile(
        i32.lt(from, end),
        ...[0, 1, 2, 3].map((i) => most.set(i32x4.max(most, f32x4.abs(load(from, 16 * i))))),
        next,
      ),
      largest.set(largestOf(most)),
      f32.store(scale!, 0, largest),
      // In a row of zeros 0 times the largest number, not times infinity.
      factor.set(f32x4.splat(f32.min(f32.div(f32.const(127), largest), f32.const(LARGEST)))),
      from.set(at!),
      repeatWhile(
        i32.lt(from, end),
        store(
          codes!,
          0,
          i8x16.narrow(i16x8.narrow(step(0), step(1)), i16x8.narrow(step(2), step(3))),
        ),
        codes!.set(i32.add(codes!, i32.const(16))),
        next,
      ),
    ].flat();
  },
};

interface Exports {
  readonly memory: WebAssembly.Memory;
  widenF16(at: number, to: number, count: number): void;
  widenBf16(at: number, to: number, count: number): void;
  roundToF16(at: number, count: number): void;
  nf4(at: number, blocks: number, codes: number, scales: number): void;
  int8(at: number, count: number, codes: number, scale: number): void;
}

/** Quantises numbers as they are stored, little-endian. What is not finite makes its scale not finite. */
export interface Encoder {
  /** Blocks of 64; the last one may be short, its rest counts as zeros. */
  nf4(bytes: Uint8Array, type: FloatType, codes: Uint8Array, scales: Float32Array): void;
  /** Whole rows; with `throughF16` each number is first rounded to f16. */
  int8(
    bytes: Uint8Array,
    type: FloatType,
    o: { width: number; throughF16: boolean },
    codes: Int8Array,
    absmax: Float32Array,
  ): void;
}

/** Numbers that are in the module's memory at once, in each of its three places. */
const PIECE = 2 ** 14;

/** @param thresholds between the 16 codes of NF4, ascending */
export function createEncoder(thresholds: Float32Array): Encoder {
  const functions = { widenF16, widenBf16, roundToF16, nf4: nf4(thresholds), int8 };
  const instance = (piece: number) => {
    const module = new WebAssembly.Module(
      wasmModule(functions, Math.ceil(10 * piece / 65536)) as Uint8Array<ArrayBuffer>,
    );
    const wasm = new WebAssembly.Instance(module).exports as unknown as Exports;
    const memory = new Uint8Array(wasm.memory.buffer);
    const [wide, codes, scales] = [4 * piece, 8 * piece, 9 * piece];
    /** The numbers, then zeros up to a multiple of `whole`, as f32 in the second place. */
    const bring = (bytes: Uint8Array, type: FloatType, whole: number): number => {
      const n = bytes.length / sizeOf[type], padded = Math.ceil(n / whole) * whole;
      const at = type === "F32" ? wide : 0;
      memory.set(bytes, at);
      memory.fill(0, at + bytes.length, at + padded * sizeOf[type]);
      if (type === "F16") wasm.widenF16(0, wide, padded);
      if (type === "BF16") wasm.widenBf16(0, wide, padded);
      return padded;
    };
    return { wasm, memory, piece, wide, codes, scales, bring };
  };
  let it = instance(PIECE);
  return {
    nf4(bytes, type, codes, scales) {
      const { wasm, memory, piece, wide, bring } = it, step = piece * sizeOf[type];
      for (let from = 0, n = 0; from < bytes.length; from += step, n += piece) {
        const blocks = bring(bytes.subarray(from, from + step), type, 64) / 64;
        wasm.nf4(wide, blocks, it.codes, it.scales);
        const made = Math.min(blocks * 32, codes.length - n / 2);
        codes.set(memory.subarray(it.codes, it.codes + made), n / 2);
        scales.set(new Float32Array(memory.buffer, it.scales, blocks), n / 64);
      }
    },
    int8(bytes, type, { width, throughF16 }, codes, absmax) {
      if (width > it.piece) it = instance(Math.ceil(width / PIECE) * PIECE);
      const { wasm, memory, wide, bring } = it, step = width * sizeOf[type];
      const scale = new Float32Array(memory.buffer, it.scales, 1);
      for (let from = 0, row = 0; from < bytes.length; from += step, row++) {
        const padded = bring(bytes.subarray(from, from + step), type, 16);
        if (throughF16 && type !== "F16") wasm.roundToF16(wide, padded);
        wasm.int8(wide, padded, it.codes, it.scales);
        codes.set(new Int8Array(memory.buffer, it.codes, width), row * width);
        absmax[row] = scale[0]!;
      }
    },
  };
}
