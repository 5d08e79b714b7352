/**
 * Just enough of an assembler to write a WebAssembly function with 128-bit vectors by hand. Every
 * function below gives the bytes that leave its result on the stack.
 *
 * https://webassembly.github.io/spec/core/binary/instructions.html
 */
export type Code = readonly number[];

/** Unsigned LEB128. */
function leb(value: number): number[] {
  return value < 128 ? [value] : [value & 127 | 128, ...leb(value >>> 7)];
}

/** Signed LEB128. */
function signedLeb(value: number): number[] {
  const last = value >= -64 && value < 64;
  return last ? [value & 127] : [value & 127 | 128, ...signedLeb(value >> 7)];
}

const op = (...bytes: number[]) => (...operands: Code[]): Code => [...operands.flat(), ...bytes];
const vector = (number: number) => op(0xfd, ...leb(number));
/** Moves the lanes of a vector by as many bits as the number says. */
const shift = (number: number) => (lanes: Code, bits: number): Code =>
  vector(number)(lanes, i32.const(bits));

export const i32 = {
  const: (value: number): Code => [0x41, ...signedLeb(value)],
  add: op(0x6a),
  mul: op(0x6c),
  lt: op(0x48),
};

export const f32 = {
  const: (value: number): Code => [0x43, ...new Uint8Array(new Float32Array([value]).buffer)],
  add: op(0x92),
  mul: op(0x94),
  div: op(0x95),
  min: op(0x96),
  max: op(0x97),
  eq: op(0x5b),
  le: op(0x5f),
  load: (address: Code, offset: number): Code => [...address, 0x2a, 2, ...leb(offset)],
  store: (address: Code, offset: number, value: Code): Code => [
    ...address,
    ...value,
    0x38,
    2,
    ...leb(offset),
  ],
};

/** Four float32 lanes; every operation rounds as float32 does, none is fused with another. */
export const f32x4 = {
  const: (value: number): Code => f32x4.splat(f32.const(value)),
  splat: vector(0x13),
  lane: (vector: Code, index: number): Code => [...vector, 0xfd, 0x1f, index],
  eq: vector(0x41),
  ne: vector(0x42),
  lt: vector(0x43),
  gt: vector(0x44),
  ge: vector(0x46),
  /** To the nearest integer, half to even. */
  nearest: vector(0x6a),
  abs: vector(0xe0),
  neg: vector(0xe1),
  sqrt: vector(0xe3),
  add: vector(0xe4),
  sub: vector(0xe5),
  mul: vector(0xe6),
  div: vector(0xe7),
  /** b < a ? b : a */
  min: vector(0xea),
  /** a < b ? b : a */
  max: vector(0xeb),
  /** Towards zero, as i32x4. */
  toInteger: vector(0xf8),
};

export const i32x4 = {
  const: (value: number): Code => i32x4.splat(i32.const(value)),
  splat: vector(0x11),
  /** Of the first or last four of eight unsigned lanes. */
  extendLow: vector(0xa9),
  extendHigh: vector(0xaa),
  shiftLeft: shift(0xab),
  shiftRight: shift(0xad),
  add: vector(0xae),
  sub: vector(0xb1),
  min: vector(0xb6),
  max: vector(0xb8),
};

export const i16x8 = {
  /** Of two vectors of four, kept in range. */
  narrow: vector(0x85),
  shiftLeft: shift(0x8b),
  shiftRight: shift(0x8d),
};

export const i8x16 = {
  /** Of two vectors of eight, kept in range: signed, then unsigned. */
  narrow: vector(0x65),
  narrowUnsigned: vector(0x66),
};

export const v128 = {
  load: (address: Code, offset: number): Code => [...address, 0xfd, 0, 4, ...leb(offset)],
  store: (address: Code, offset: number, value: Code): Code => [
    ...address,
    ...value,
    0xfd,
    11,
    4,
    ...leb(offset),
  ],
  and: vector(0x4e),
  /** a and not b */
  without: vector(0x4f),
  or: vector(0x50),
  /** Bits of a where the mask is set, else of b. */
  select: vector(0x52),
  anyTrue: vector(0x53),
};

const types = { i32: 0x7f, f32: 0x7d, v128: 0x7b } as const;
export type ValueType = keyof typeof types;

/** A parameter or variable of a function: its code reads it. */
export type Local = Code & { set(value: Code): Code };

/** Runs the body, again as long as the condition holds after it. */
export const repeatWhile = (condition: Code, ...body: Code[]): Code => [
  0x03,
  0x40,
  ...body.flat(),
  ...condition,
  0x0d,
  0,
  0x0b,
];

export const when = (condition: Code, ...body: Code[]): Code => [
  ...condition,
  0x04,
  0x40,
  ...body.flat(),
  0x0b,
];

/** Declares variables of a type; they begin as zero. */
export type Declare = <K extends string>(type: ValueType, ...names: K[]) => Record<K, Local>;

export interface WasmFunction {
  readonly parameters: readonly ValueType[];
  body(parameters: readonly Local[], declare: Declare): Code;
}

const section = (id: number, content: Code): Code => [id, ...leb(content.length), ...content];
const list = (items: readonly Code[]): Code => [...leb(items.length), ...items.flat()];
const name = (text: string): Code => list([...text].map((c) => [c.charCodeAt(0)]));

function bodyOf({ parameters, body }: WasmFunction): Code {
  const locals: Code[] = [];
  const at = (index: number): Local =>
    Object.assign([0x20, ...leb(index)], {
      set: (value: Code) => [...value, 0x21, ...leb(index)],
    });
  const declare: Declare = (type, ...names) =>
    Object.fromEntries(names.map((name) => {
      locals.push([1, types[type]]);
      return [name, at(parameters.length + locals.length - 1)];
    })) as Record<(typeof names)[number], Local>;
  const code = body(parameters.map((_, i) => at(i)), declare);
  const whole = [...list(locals), ...code, 0x0b];
  return [...leb(whole.length), ...whole];
}

/** A module of these functions, none of which gives a result, and pages of 64 KiB of memory, `memory`. */
export function wasmModule(
  functions: Readonly<Record<string, WasmFunction>>,
  pages = 1,
): Uint8Array {
  const all = Object.entries(functions);
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      list(all.map(([, { parameters }]) => [
        0x60,
        ...list(parameters.map((type) => [types[type]])),
        0,
      ])),
    ),
    ...section(3, list(all.map((_, i) => leb(i)))),
    ...section(5, list([[0, ...leb(pages)]])),
    ...section(
      7,
      list([
        [...name("memory"), 2, 0],
        ...all.map(([key], i) => [...name(key), 0, ...leb(i)]),
      ]),
    ),
    ...section(10, list(all.map(([, each]) => bodyOf(each)))),
  ]);
}
