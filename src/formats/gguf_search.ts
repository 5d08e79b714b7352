/**
 * The search for the scales of K formats, four sub-blocks at a time: one in each lane of a vector.
 * Each lane does the float32 operations of ggml's scalar code in their order, so the result has the
 * same bits; where ggml branches, a mask selects.
 *
 * Memory holds a region for each group of four sub-blocks, in it arrays of rows: a row is the value
 * of the same number in each of the four.
 */
import { roundingShift } from "./gguf_codec.ts";
import {
  type Code,
  type Declare,
  f32,
  f32x4,
  i32,
  i32x4,
  type Local,
  repeatWhile,
  v128,
  type WasmFunction,
  wasmModule,
  when,
} from "./wasm.ts";

const rowBytes = 16;
const regionBytes = 4096;
/** Byte offsets of the arrays in a region. */
const values = 0;
const weights = 512;
/** x − min, or x³. */
const derived = 1024;
/** Codes of the candidate at hand, and the best so far. */
const codes = 1536;
const best = 2048;
/** One row each: scale and minimum found; then, from outside, those the codes are made for. */
const scales = 2560;
const minima = 2576;
/** One row: the sum of the weights. */
const totals = 2592;

const { add, sub, mul, div } = f32x4;
const zero = f32x4.const(0);
const square = (value: Code): Code => mul(value, value);
/** Where the mask is set, the new value. */
const update = (variable: Local, value: Code, mask: Code): Code =>
  variable.set(v128.select(value, variable, mask));

interface Row {
  load(array: number): Code;
  store(array: number, value: Code): Code;
}

/** Goes over the first `count` rows of the region at `base`, four in a turn. */
function eachRow(count: Code, base: Local, declare: Declare, body: (row: Row) => Code[]): Code {
  const { at, end } = declare("i32", "at", "end");
  const four = [0, 1, 2, 3].flatMap((i) =>
    body({
      load: (array) => v128.load(at, array + i * rowBytes),
      store: (array, value) => v128.store(at, array + i * rowBytes, value),
    })
  );
  return [
    at.set(base),
    end.set(i32.add(base, i32.mul(count, i32.const(rowBytes)))),
    repeatWhile(i32.lt(at, end), ...four, at.set(i32.add(at, i32.const(4 * rowBytes)))),
  ].flat();
}

/** Weights of sub-blocks of 32 without an importance matrix: sqrt(mean x²) + |x|. */
const typicalWeights: WasmFunction = {
  parameters: ["i32"],
  body([base], declare) {
    const rows = (body: (row: Row) => Code[]) => eachRow(i32.const(32), base!, declare, body);
    const { typical } = declare("v128", "typical");
    return [
      typical.set(zero),
      rows(({ load }) => [typical.set(add(typical, square(load(values))))]),
      typical.set(f32x4.sqrt(div(typical, f32x4.const(32)))),
      rows(({ load, store }) => [store(weights, add(typical, f32x4.abs(load(values))))]),
    ].flat();
  },
};

/** The same of sub-blocks of 16 that have no minimum: x². */
const squareWeights: WasmFunction = {
  parameters: ["i32"],
  body: ([base], declare) =>
    eachRow(i32.const(16), base!, declare, ({ load, store }) => [
      store(weights, square(load(values))),
    ]),
};

/** Weights with an importance matrix, of which they hold the numbers q: q · sqrt(spread + x²). */
const spreadWeights: WasmFunction = {
  parameters: ["i32", "i32", "f32"],
  body([base, count, spread], declare) {
    const { variance } = declare("v128", "variance");
    return [
      variance.set(f32x4.splat(spread!)),
      eachRow(count!, base!, declare, ({ load, store }) => [
        store(
          weights,
          mul(load(weights), f32x4.sqrt(add(variance, square(load(values))))),
        ),
      ]),
    ].flat();
  },
};

/**
 * Scales and minima (<= 0) of sub-blocks of 32 for codes 0..top: the least weighted squared error
 * among the plain scale and those with top + from + step · (0..last) steps in the range, each of them
 * made better by linear regression (ggml make_qkx2_quants and, of ordinary values, make_qkx3_quants).
 */
const searchWithMin: WasmFunction = {
  parameters: ["i32", "f32", "f32", "f32", "f32"],
  body([base, topValue, from, step, last], declare) {
    const rows = (body: (row: Row) => Code[]) => eachRow(i32.const(32), base!, declare, body);
    const { candidate } = declare("f32", "candidate");
    const { low, high, top, flat } = declare("v128", "low", "high", "top", "flat");
    const { x, w, code } = declare("v128", "x", "w", "code");
    const { sumW, sumX, sumL, sumL2, sumXL } = declare(
      "v128",
      "sumW",
      "sumX",
      "sumL",
      "sumL2",
      "sumXL",
    );
    const { inverse, determinant, ofScale, ofMin, error, better } = declare(
      "v128",
      "inverse",
      "determinant",
      "ofScale",
      "ofMin",
      "error",
      "better",
    );
    const { scale, least } = declare("v128", "scale", "least");

    // An infinite inverse, of a range among the denormals, makes every code 0 (as NaN in ggml).
    const finite = v128.and(inverse, f32x4.lt(inverse, f32x4.const(Infinity)));
    const codeOf = ({ load }: Row): Code =>
      code.set(
        f32x4.min(f32x4.max(zero, f32x4.nearest(mul(inverse, load(derived)))), top),
      );
    const addError = ({ load }: Row, scale: Code, min: Code): Code =>
      error.set(
        add(
          error,
          mul(load(weights), square(sub(add(mul(scale, code), min), load(values)))),
        ),
      );
    const setDerived = rows(({ load, store }) => [store(derived, sub(load(values), low))]);

    return [
      top.set(f32x4.splat(topValue!)),
      low.set(v128.load(base!, values)),
      high.set(low),
      sumW.set(zero),
      sumX.set(zero),
      rows(({ load }) => [
        x.set(load(values)),
        low.set(f32x4.min(low, x)),
        high.set(f32x4.max(high, x)),
        w.set(load(weights)),
        sumW.set(add(sumW, w)),
        sumX.set(add(sumX, mul(w, x))),
      ]),
      low.set(f32x4.min(low, zero)),
      flat.set(f32x4.eq(low, high)),
      setDerived,
      inverse.set(div(top, sub(high, low))),
      scale.set(div(f32x4.const(1), inverse)),
      inverse.set(finite),
      error.set(zero),
      rows((row) => [codeOf(row), row.store(best, code), addError(row, scale, low)]),
      // Nothing is better than what a flat sub-block has: scale 1 / ∞ = 0.
      least.set(v128.without(error, flat)),
      candidate.set(f32.const(0)),
      repeatWhile(
        f32.le(candidate, last!),
        inverse.set(
          div(
            f32x4.splat(f32.add(f32.add(from!, f32.mul(step!, candidate)), topValue!)),
            sub(high, low),
          ),
        ),
        inverse.set(finite),
        sumL.set(zero),
        sumL2.set(zero),
        sumXL.set(zero),
        rows((row) => [
          codeOf(row),
          row.store(codes, code),
          w.set(mul(row.load(weights), code)),
          sumL.set(add(sumL, w)),
          sumL2.set(add(sumL2, mul(w, code))),
          sumXL.set(add(sumXL, mul(w, row.load(values)))),
        ]),
        determinant.set(sub(mul(sumW, sumL2), square(sumL))),
        ofScale.set(div(sub(mul(sumW, sumXL), mul(sumX, sumL)), determinant)),
        ofMin.set(div(sub(mul(sumL2, sumX), mul(sumL, sumXL)), determinant)),
        better.set(f32x4.gt(ofMin, zero)),
        ofMin.set(v128.without(ofMin, better)),
        update(ofScale, div(sumXL, sumL2), better),
        error.set(zero),
        rows((row) => [code.set(row.load(codes)), addError(row, ofScale, ofMin)]),
        better.set(v128.and(f32x4.gt(determinant, zero), f32x4.lt(error, least))),
        when(
          v128.anyTrue(better),
          update(least, error, better),
          update(scale, ofScale, better),
          update(low, ofMin, better),
          rows(({ load, store }) => [
            store(best, v128.select(load(codes), load(best), better)),
          ]),
          setDerived,
        ),
        candidate.set(f32.add(candidate, f32.const(1))),
      ),
      v128.store(base!, scales, scale),
      v128.store(base!, minima, low),
      v128.store(base!, totals, sumW),
    ].flat();
  },
};

/**
 * Scales of sub-blocks of `count` values for codes −half..half − 1: the least weighted squared error of
 * those with half ± 0.1 · (0..9) codes on the side of the value of largest magnitude (ggml
 * make_qx_quants). Sub-blocks below 1e-15 get 0.
 */
const searchSymmetric: WasmFunction = {
  parameters: ["i32", "i32", "f32"],
  body([base, count, half], declare) {
    const rows = (body: (row: Row) => Code[]) => eachRow(count!, base!, declare, body);
    const { candidate } = declare("f32", "candidate");
    const { x, code, largest, size, inverse, better, scale, score } = declare(
      "v128",
      "x",
      "code",
      "largest",
      "size",
      "inverse",
      "better",
      "scale",
      "score",
    );
    const { sumLX, sumL2, first } = declare("v128", "sumLX", "sumL2", "first");
    const { lowest, highest } = declare("v128", "lowest", "highest");
    const tenth = f32.const(0.1);
    return [
      lowest.set(f32x4.neg(f32x4.splat(half!))),
      highest.set(f32x4.sub(f32x4.splat(half!), f32x4.const(1))),
      largest.set(zero),
      size.set(zero),
      rows(({ load, store }) => [
        x.set(load(values)),
        better.set(f32x4.gt(f32x4.abs(x), size)),
        update(size, f32x4.abs(x), better),
        update(largest, x, better),
        store(derived, mul(load(weights), x)),
      ]),
      // The plain scale, which stands at candidate −10, comes first and is always taken.
      first.set(f32x4.eq(zero, zero)),
      candidate.set(f32.const(-10)),
      repeatWhile(
        f32.le(candidate, f32.const(9)),
        inverse.set(
          f32x4.neg(
            div(
              v128.select(
                f32x4.splat(half!),
                f32x4.splat(f32.add(half!, f32.mul(tenth, candidate))),
                first,
              ),
              largest,
            ),
          ),
        ),
        sumLX.set(zero),
        sumL2.set(zero),
        rows((row) => [
          code.set(f32x4.nearest(mul(inverse, row.load(values)))),
          code.set(v128.and(code, f32x4.eq(code, code))),
          code.set(f32x4.min(f32x4.max(code, lowest), highest)),
          row.store(codes, code),
          sumLX.set(add(sumLX, mul(row.load(derived), code))),
          sumL2.set(add(sumL2, mul(mul(row.load(weights), code), code))),
        ]),
        better.set(
          v128.or(
            first,
            v128.and(
              f32x4.gt(sumL2, zero),
              f32x4.gt(square(sumLX), mul(score, sumL2)),
            ),
          ),
        ),
        when(
          v128.anyTrue(better),
          update(scale, v128.and(div(sumLX, sumL2), f32x4.ne(sumL2, zero)), better),
          update(score, mul(scale, sumLX), better),
          rows(({ load, store }) => [
            store(best, v128.select(load(codes), load(best), better)),
          ]),
        ),
        first.set(zero),
        candidate.set(f32.add(candidate, f32.const(1))),
        // The plain one again: rounding could let it win against a better one.
        when(f32.eq(candidate, f32.const(0)), candidate.set(f32.const(1))),
      ),
      better.set(f32x4.lt(size, f32x4.const(1e-15))),
      v128.store(base!, scales, v128.without(scale, better)),
      // ggml's unsigned code 0.
      rows(({ load, store }) => [
        store(best, v128.select(lowest, load(best), better)),
      ]),
    ].flat();
  },
};

/**
 * Codes, as i32 and in place of the values, for the scales and minima that the file has:
 * nearest((x + min) / scale) within low..high; where a scale is 0 they stay those of the search.
 */
const encode: WasmFunction = {
  parameters: ["i32", "i32", "i32", "i32"],
  body([base, count, low, high], declare) {
    const { at, end } = declare("i32", "at", "end");
    const { scale, min, none, code } = declare(
      "v128",
      "scale",
      "min",
      "none",
      "code",
    );
    const shifted = add(
      div(add(v128.load(at, values), min), scale),
      f32x4.const(roundingShift),
    );
    const integer = i32x4.sub(v128.and(shifted, i32x4.const(0x7f_ffff)), i32x4.const(0x40_0000));
    return [
      scale.set(v128.load(base!, scales)),
      min.set(v128.load(base!, minima)),
      none.set(f32x4.eq(scale, zero)),
      at.set(base!),
      end.set(i32.add(base!, i32.mul(count!, i32.const(rowBytes)))),
      repeatWhile(
        i32.lt(at, end),
        code.set(i32x4.min(i32x4.max(integer, i32x4.splat(low!)), i32x4.splat(high!))),
        update(code, f32x4.toInteger(v128.load(at, best)), none),
        v128.store(at, values, code),
        at.set(i32.add(at, i32.const(rowBytes))),
      ),
    ].flat();
  },
};

interface Exports {
  readonly memory: WebAssembly.Memory;
  typicalWeights(at: number): void;
  squareWeights(at: number): void;
  spreadWeights(at: number, rows: number, spread: number): void;
  searchWithMin(at: number, top: number, from: number, step: number, last: number): void;
  searchSymmetric(at: number, rows: number, half: number): void;
  encode(at: number, rows: number, low: number, high: number): void;
}

/** The groups of four sub-blocks of one block, and what is done with them. */
export interface Searcher {
  /** `x` of `count` values for each sub-block of this size, into the groups. */
  load(x: Float32Array, start: number, count: number, size: number): void;
  /** Weighs what was loaded as ggml does without an importance matrix. */
  typicalWeights(groups: number): void;
  squareWeights(groups: number): void;
  /** Weighs by numbers of an importance matrix, in the order of the values. */
  loadWeights(importance: Float32Array, start: number, count: number, size: number): void;
  /** Multiplies them by sqrt(spread + x²). */
  spreadWeights(groups: number, size: number, spread: number): void;
  searchWithMin(groups: number, top: number, from: number, step: number, last: number): void;
  searchSymmetric(groups: number, size: number, half: number): void;
  /** Scale, minimum and sum of weights found for sub-block j. */
  scale(j: number): number;
  min(j: number): number;
  total(j: number): number;
  /** Sets what `encode` divides by and adds; with scale 0 it gives the codes of the search. */
  setScale(j: number, scale: number, min: number): void;
  encode(groups: number, size: number, low: number, high: number): void;
  /** Writes the codes of `encode`, plus an offset, in the order of the values. */
  store(codes: Uint8Array, size: number, offset: number): void;
}

function createSearcher(): Searcher {
  const functions = {
    typicalWeights,
    squareWeights,
    spreadWeights,
    searchWithMin,
    searchSymmetric,
    encode,
  };
  const module = new WebAssembly.Module(wasmModule(functions) as Uint8Array<ArrayBuffer>);
  const wasm = new WebAssembly.Instance(module).exports as unknown as Exports;
  const floats = new Float32Array(wasm.memory.buffer);
  const integers = new Int32Array(wasm.memory.buffer);
  const words = regionBytes / 4;
  /** Index of the lane of sub-block j in the first row of an array. */
  const lane = (j: number, array = 0) => (j >> 2) * words + array / 4 + (j & 3);
  const each = (groups: number, run: (at: number) => void) => {
    for (let group = 0; group < groups; group++) run(group * regionBytes);
  };
  const place = (array: number, x: Float32Array, start: number, count: number, size: number) => {
    for (let j = 0, from = start; from < start + count; j++, from += size) {
      const to = lane(j, array);
      for (let i = 0; i < size; i++) floats[to + 4 * i] = x[from + i]!;
    }
  };
  return {
    load: (x, start, count, size) => place(values, x, start, count, size),
    typicalWeights: (groups) => each(groups, wasm.typicalWeights),
    squareWeights: (groups) => each(groups, wasm.squareWeights),
    loadWeights: (importance, start, count, size) => place(weights, importance, start, count, size),
    spreadWeights: (groups, size, spread) =>
      each(groups, (at) => wasm.spreadWeights(at, size, spread)),
    searchWithMin: (groups, top, from, step, last) =>
      each(groups, (at) => wasm.searchWithMin(at, top, from, step, last)),
    searchSymmetric: (groups, size, half) =>
      each(groups, (at) => wasm.searchSymmetric(at, size, half)),
    scale: (j) => floats[lane(j, scales)]!,
    min: (j) => floats[lane(j, minima)]!,
    total: (j) => floats[lane(j, totals)]!,
    setScale(j, scale, min) {
      floats[lane(j, scales)] = scale;
      floats[lane(j, minima)] = min;
    },
    encode: (groups, size, low, high) => each(groups, (at) => wasm.encode(at, size, low, high)),
    store(out, size, offset) {
      for (let j = 0; j < out.length / size; j++) {
        const from = lane(j);
        for (let i = 0; i < size; i++) out[j * size + i] = integers[from + 4 * i]! + offset;
      }
    },
  };
}

let made: Searcher | undefined;
/** The one searcher of this thread. */
export const searcher = (): Searcher => made ??= createSearcher();
