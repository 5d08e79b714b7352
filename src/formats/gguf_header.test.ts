import { describe, expect, test } from "bun:test";
import { Fail } from "../base/fail.ts";
import { HeaderContinues, parseGgufHeader } from "./gguf_header.ts";
import { integerAt, stringsAt } from "./gguf_types.ts";

type Field = ["u8" | "u32" | "u64" | "f32", number | bigint] | ["string", string] | [
  "raw",
  number[],
];

/** Bytes of a list of little-endian fields. */
function bytesOf(fields: readonly Field[]): Uint8Array {
  const out: number[] = [];
  const view = new DataView(new ArrayBuffer(8));
  const push = (count: number) => out.push(...new Uint8Array(view.buffer, 0, count));
  for (const [kind, value] of fields) {
    if (kind === "raw") out.push(...value);
    else if (kind === "string") {
      const text = new TextEncoder().encode(value);
      view.setBigUint64(0, BigInt(text.length), true);
      push(8);
      out.push(...text);
    } else if (kind === "u8") out.push(Number(value));
    else if (kind === "u32") {
      view.setUint32(0, Number(value), true);
      push(4);
    } else if (kind === "f32") {
      view.setFloat32(0, Number(value), true);
      push(4);
    } else {
      view.setBigUint64(0, BigInt(value), true);
      push(8);
    }
  }
  return new Uint8Array(out);
}

interface Parts {
  magic?: number;
  version?: number;
  tensors?: number | bigint;
  keys?: number | bigint;
  metadata?: Field[];
  infos?: Field[];
  data?: number;
}

const info = (name: string, sizes: (number | bigint)[], type = 0, offset: number | bigint = 0) =>
  [
    ["string", name],
    ["u32", sizes.length],
    ...sizes.map((size): Field => ["u64", size]),
    ["u32", type],
    ["u64", offset],
  ] as Field[];

/** One key "a" = u32 7 and one f32 tensor "w" of 8 values, unless told otherwise. */
function file(parts: Parts = {}): Uint8Array {
  const header = bytesOf([
    ["u32", parts.magic ?? 0x4655_4747],
    ["u32", parts.version ?? 3],
    ["u64", parts.tensors ?? 1],
    ["u64", parts.keys ?? 1],
    ...(parts.metadata ?? [["string", "a"], ["u32", 4], ["u32", 7]] as Field[]),
    ...(parts.infos ?? info("w", [4, 2])),
  ]);
  const padded = new Uint8Array(Math.ceil(header.length / 32) * 32 + (parts.data ?? 32));
  padded.set(header);
  return padded;
}

const parse = (bytes: Uint8Array) => parseGgufHeader(bytes, bytes.length);

describe("a well-formed header", () => {
  test("gives metadata, shapes in row-major order and file positions", () => {
    const header = parse(file());
    expect(integerAt(header.metadata, "a")).toBe(7);
    const tensor = header.tensors.get("w")!;
    expect(tensor.shape).toEqual([2, 4]);
    expect([tensor.offset, tensor.bytes]).toEqual([header.dataStart, 32]);
  });

  test("asks for more when only its beginning is at hand", () => {
    const whole = file();
    for (let length = 0; length < 80; length++) {
      expect(() => parseGgufHeader(whole.subarray(0, length), whole.length)).toThrow(
        HeaderContinues,
      );
    }
  });

  test("a value of another type than expected is refused", () => {
    const { metadata } = parse(file());
    expect(() => stringsAt(metadata, "a")).toThrow("expected an array of strings");
    expect(() => integerAt(metadata, "a", { max: 6 })).toThrow("expected 0 to 6");
  });
});

const huge = [0n, 2n ** 31n, 2n ** 32n, 2n ** 42n + 1n, 2n ** 63n - 64n, 2n ** 64n - 1n];
const bad: [string, Parts | Uint8Array, string][] = [
  ["an empty file", new Uint8Array(0), "too short"],
  ["23 bytes", new Uint8Array(23), "too short"],
  ["another magic", { magic: 0x1234_5678 }, "does not start with GGUF"],
  ["version 1", { version: 1 }, "version 1"],
  ["version 4", { version: 4 }, "version 4"],
  ["big-endian", { version: 0x0300_0000 }, "big-endian"],
  ["more tensors than bytes", { tensors: 2n ** 40n }, "number of tensors"],
  ["2^64-1 keys", { keys: 2n ** 64n - 1n }, "number of keys"],
  ["an empty key", { metadata: [["string", ""], ["u32", 4], ["u32", 7]] }, "key is empty"],
  ["a key twice", {
    keys: 2,
    metadata: [["string", "a"], ["u32", 4], ["u32", 7], ["string", "a"], ["u32", 4], ["u32", 7]],
  }, "twice"],
  ["a key that is not UTF-8", {
    metadata: [["u64", 1], ["u8", 0xff], ["u32", 4], ["u32", 7]],
  }, "not UTF-8"],
  ["an unknown value type", { metadata: [["string", "a"], ["u32", 13], ["u32", 7]] }, "value type"],
  ["a bool of 2", { metadata: [["string", "a"], ["u32", 7], ["u8", 2]] }, "bool"],
  ["a nested array", { metadata: [["string", "a"], ["u32", 9], ["u32", 9], ["u64", 0]] }, "nested"],
  ["an array longer than the file", {
    metadata: [["string", "a"], ["u32", 9], ["u32", 4], ["u64", 2n ** 30n]],
  }, "length of a"],
  ["a string longer than the file", {
    metadata: [["string", "a"], ["u32", 8], ["u64", 2n ** 63n]],
  }, "length of a"],
  ["alignment 24", {
    metadata: [["string", "general.alignment"], ["u32", 4], ["u32", 24]],
  }, "power of two"],
  ["alignment 0", {
    metadata: [["string", "general.alignment"], ["u32", 4], ["u32", 0]],
  }, "general.alignment"],
  ["alignment 2^31", {
    metadata: [["string", "general.alignment"], ["u32", 4], ["u32", 2 ** 31]],
  }, "general.alignment"],
  ["alignment as a float", {
    metadata: [["string", "general.alignment"], ["u32", 6], ["f32", 32]],
  }, "expected an integer"],
  ["a tensor name of 64 bytes", { infos: info("n".repeat(64), [8]) }, "length of a tensor name"],
  ["a tensor twice", {
    tensors: 2,
    infos: [...info("w", [8]), ...info("w", [8], 0, 32)],
    data: 64,
  }, "twice"],
  ["5 dimensions", { infos: info("w", [8, 1, 1, 1, 1]) }, "5 dimensions"],
  ["an unknown tensor type", { infos: info("w", [8], 99) }, "unknown type 99"],
  ["the removed type 4", { infos: info("w", [8], 4) }, "unknown type 4"],
  ["rows that are not whole blocks", { infos: info("w", [48], 8) }, "not whole q8_0 blocks"],
  ["a tensor past the end", { infos: info("w", [16]) }, "past the end"],
  ["a first offset that is not 0", { infos: info("w", [8], 0, 32), data: 64 }, "expected 0"],
  ["overlapping tensors", {
    tensors: 2,
    infos: [...info("v", [8]), ...info("w", [8], 0, 0)],
    data: 64,
  }, "expected 32"],
  ["a gap between tensors", {
    tensors: 2,
    infos: [...info("v", [8]), ...info("w", [8], 0, 64)],
    data: 96,
  }, "expected 32"],
  ["an unaligned offset", {
    tensors: 2,
    infos: [...info("v", [8]), ...info("w", [8], 0, 33)],
    data: 96,
  }, "expected 32"],
  ["bytes after the last tensor", { data: 64 }, "follow the last tensor"],
  ...huge.map((size): [string, Parts, string] => [
    `a dimension of ${size}`,
    { infos: info("w", [size]) },
    size === 0n || size > 2n ** 53n ? "impossible size" : "past the end",
  ]),
  ...huge.slice(1).map((size): [string, Parts, string] => [
    `dimensions whose product overflows (${size})`,
    { infos: info("w", [size, size, size, size]) },
    "impossible size",
  ]),
  ...huge.slice(1).map((size): [string, Parts, string] => [
    `an offset of ${size}`,
    { infos: info("w", [8], 0, size) },
    "expected 0",
  ]),
];

describe("is refused with a position", () => {
  for (const [name, parts, message] of bad) {
    test(name, () => {
      const bytes = parts instanceof Uint8Array ? parts : file(parts);
      expect(() => parse(bytes)).toThrow(message);
      expect(() => parse(bytes)).toThrow(Fail);
    });
  }
});

test("any single changed byte or shorter file gives a header or a Fail, never another error", () => {
  const whole = file({
    keys: 2,
    metadata: [
      ["string", "a"],
      ["u32", 9],
      ["u32", 8],
      ["u64", 2],
      ["string", "x"],
      ["string", "yy"],
      ["string", "general.alignment"],
      ["u32", 4],
      ["u32", 32],
    ],
  });
  let refused = 0;
  const attempt = (bytes: Uint8Array) => {
    try {
      parse(bytes);
    } catch (error) {
      expect(error).toBeInstanceOf(Fail);
      refused++;
    }
  };
  for (let at = 0; at < whole.length; at++) {
    for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
      const changed = whole.slice();
      changed[at] = value;
      attempt(changed);
    }
    attempt(whole.slice(0, at));
  }
  expect(refused).toBeGreaterThan(whole.length);
});
