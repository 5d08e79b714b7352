/** Readers for tests, which share nothing with the writers. */

/** A decoded protobuf field: number, and a value by wire type. */
export type Fields = Map<number, (bigint | number | Uint8Array)[]>;

/** Decodes one message; fixed64 as double, fixed32 as float, length-delimited as bytes. */
export function decode(bytes: Uint8Array): Fields {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields: Fields = new Map();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n;; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = Number(varint()), wire = key & 7;
    let value: bigint | number | Uint8Array;
    if (wire === 0) value = varint();
    else if (wire === 1) [value, at] = [view.getFloat64(at, true), at + 8];
    else if (wire === 5) [value, at] = [view.getFloat32(at, true), at + 4];
    else if (wire === 2) {
      const size = Number(varint());
      value = bytes.subarray(at, at + size);
      at += size;
    } else throw new Error(`wire type ${wire}`);
    fields.set(key >> 3, [...fields.get(key >> 3) ?? [], value]);
  }
  if (at !== bytes.length) throw new Error("a field runs over the end");
  return fields;
}

const text = (value: unknown) => new TextDecoder().decode(value as Uint8Array);
const within = (fields: Fields | undefined, ...path: number[]): unknown =>
  path.reduce<unknown>(
    (value, n) => (value instanceof Map ? value : decode(value as Uint8Array)).get(n)?.[0],
    fields,
  );

/** CRC-32C one bit at a time. */
function checksum(bytes: Uint8Array): number {
  let c = ~0;
  for (const byte of bytes) {
    c ^= byte;
    for (let i = 0; i < 8; i++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  }
  c = ~c >>> 0;
  return Number((BigInt((c >>> 15) | (c << 17) >>> 0) + 0xa282ead8n) & 0xffffffffn);
}

export interface Shown {
  readonly step: number;
  readonly wall: number;
  readonly version?: string;
  readonly restart?: boolean;
  readonly tag?: string;
  readonly scalar?: number;
  readonly text?: string;
  readonly plugin?: string;
  readonly histogram?: { count: number; limits: number[]; buckets: number[] };
}

/** The events of a file as TensorBoard would see them. @throws Error at a wrong length or checksum */
export function readEvents(file: Uint8Array): Shown[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const shown: Shown[] = [];
  for (let at = 0; at < file.length;) {
    const size = Number(view.getBigUint64(at, true));
    if (view.getUint32(at + 8, true) !== checksum(file.subarray(at, at + 8))) {
      throw new Error("length");
    }
    const data = file.subarray(at + 12, at + 12 + size);
    if (view.getUint32(at + 12 + size, true) !== checksum(data)) throw new Error("data");
    shown.push(eventOf(decode(data)));
    at += 16 + size;
  }
  return shown;
}

function eventOf(event: Fields): Shown {
  const base = { wall: event.get(1)![0] as number, step: Number(event.get(2)?.[0] ?? 0) };
  if (event.has(3)) return { ...base, version: text(event.get(3)![0]) };
  if (event.has(7)) return { ...base, restart: within(event, 7, 1) === 1n };
  const value = decode(within(event, 5, 1) as Uint8Array), tag = text(value.get(1)![0]);
  if (value.has(2)) return { ...base, tag, scalar: value.get(2)![0] as number };
  if (value.has(8)) {
    if (within(value, 8, 1) !== 7n) throw new Error("not DT_STRING");
    return { ...base, tag, text: text(within(value, 8, 8)), plugin: text(within(value, 9, 1, 1)) };
  }
  const histo = decode(value.get(5)![0] as Uint8Array);
  const list = (n: number) => {
    const bytes = new Uint8Array(histo.get(n)![0] as Uint8Array);
    return [...new Float64Array(bytes.buffer)];
  };
  const histogram = { count: histo.get(3)![0] as number, limits: list(6), buckets: list(7) };
  return { ...base, tag, histogram };
}

/** The records of an offline run file of Weights & Biases: number and content of each. */
export function readOffline(file: Uint8Array): { kind: number; content: Fields }[] {
  const head = [...file.subarray(0, 7)].map((b) => b.toString(16).padStart(2, "0")).join("");
  if (head !== "3a572642e1be00") throw new Error(`header ${head}`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const records: Uint8Array[] = [];
  let parts: Uint8Array[] = [];
  for (let at = 7; at < file.length;) {
    const left = 32768 - at % 32768;
    if (left < 7) {
      if (file.subarray(at, at + left).some((b) => b !== 0)) throw new Error("padding");
      at += left;
      continue;
    }
    const crc = view.getUint32(at, true), size = view.getUint16(at + 4, true), type = file[at + 6]!;
    if (7 + size > left) throw new Error("a frame crosses blocks");
    const body = file.subarray(at + 7, at + 7 + size);
    if (Bun.hash.crc32(Buffer.concat([Uint8Array.of(type), body])) !== crc) throw new Error("crc");
    if ((type === 1 || type === 2) !== (parts.length === 0)) throw new Error(`type ${type}`);
    parts.push(body);
    if (type === 1 || type === 4) {
      records.push(new Uint8Array(Buffer.concat(parts)));
      parts = [];
    }
    at += 7 + size;
  }
  return records.map((record, i) => {
    const fields = decode(record);
    if (Number(fields.get(1)![0]) !== i) throw new Error("record number");
    const [kind, [content]] = [...fields].find(([n]) => n !== 1) as [number, [Uint8Array]];
    return { kind, content: decode(content) };
  });
}

/** Repeated items {key, value_json} of a record. */
export function items(content: Fields, field = 1): Record<string, unknown> {
  return Object.fromEntries((content.get(field) ?? []).map((bytes) => {
    const item = decode(bytes as Uint8Array);
    const json = text(item.get(16)![0]);
    return [text(item.get(1)![0]), json === "NaN" ? NaN : JSON.parse(json)];
  }));
}
