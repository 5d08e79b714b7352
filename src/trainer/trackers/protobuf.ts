/** The wire format of protocol buffers, as far as it is written here: https://protobuf.dev/programming-guides/encoding */

/** An encoded field, or several. */
export type Bytes = Uint8Array;

const text = new TextEncoder();

function varint(value: number | bigint): number[] {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  out.push(Number(rest));
  return out;
}

/** Pieces in one. */
export function message(...parts: readonly Bytes[]): Bytes {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** int32, int64, enum, bool. */
export const integer = (field: number, value: number): Bytes =>
  Uint8Array.from([...varint(field << 3), ...varint(value)]);

function fixed(field: number, wire: 1 | 5, value: Float32Array | Float64Array): Bytes {
  return message(Uint8Array.from(varint(field << 3 | wire)), new Uint8Array(value.buffer));
}
export const double = (field: number, value: number): Bytes =>
  fixed(field, 1, Float64Array.of(value));
export const float = (field: number, value: number): Bytes =>
  fixed(field, 5, Float32Array.of(value));

/** A message, bytes or text. */
export function block(field: number, value: Bytes | string): Bytes {
  const bytes = typeof value === "string" ? text.encode(value) : value;
  return message(Uint8Array.from([...varint(field << 3 | 2), ...varint(bytes.length)]), bytes);
}

/** repeated double, packed. */
export const doubles = (field: number, values: readonly number[]): Bytes =>
  block(field, new Uint8Array(Float64Array.from(values).buffer));
