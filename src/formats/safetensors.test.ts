import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Dtype, dtypeBits, fromF32, toF32 } from "../base/bits.ts";
import { Exit, Fail } from "../base/fail.ts";
import { openSafetensors, type TensorSource, writeSafetensors } from "./safetensors.ts";

let dir: string;
beforeAll(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "safetensors-"));
});
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

/** A file from a header (text, object or bytes), data bytes, and optionally a false header length. */
function craft(
  header: string | object,
  data: number | Uint8Array = 0,
  length?: bigint,
): Uint8Array {
  const json = header instanceof Uint8Array
    ? header
    : new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const size = new Uint8Array(8);
  new DataView(size.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  const body = typeof data === "number" ? new Uint8Array(data) : data;
  return new Uint8Array([...size, ...json, ...body]);
}

function open(bytes: Uint8Array) {
  const path = join(dir, "x.safetensors");
  fs.writeFileSync(path, bytes);
  return openSafetensors(path);
}

function refusal(bytes: Uint8Array): Fail {
  try {
    open(bytes).close();
  } catch (error) {
    expect(error).toBeInstanceOf(Fail);
    return error as Fail;
  }
  throw new Error("was accepted");
}

const t = (dtype: string, shape: unknown, from: unknown, to: unknown) => ({
  dtype,
  shape,
  data_offsets: [from, to],
});
const raw = (text: string) => new TextEncoder().encode(text);

/** Name, file, and a piece of the message that must come. */
const malformed: [string, Uint8Array, string][] = [
  ["empty file", new Uint8Array(0), "too short"],
  ["seven bytes", new Uint8Array(7), "too short"],
  ["length only", craft(""), "too short"],
  ["length and one byte", craft("{"), "too short"],
  ["header length 0", craft("", 20), "does not start with"],
  ["header length beyond the file", craft("{}", 0, 3n), "cut short"],
  ["header length far beyond", craft("{}", 8, 99_999_999n), "cut short"],
  ["header length over the limit", craft("{}", 8, 100_000_001n), "at most 100000000"],
  ["header length 2^31", craft("{}", 8, 1n << 31n), "at most"],
  ["header length 2^32", craft("{}", 8, 1n << 32n), "at most"],
  ["header length 2^53", craft("{}", 8, 1n << 53n), "at most"],
  ["header length 2^63", craft("{}", 8, 1n << 63n), "at most"],
  ["header length 2^64-1", craft("{}", 8, (1n << 64n) - 1n), "at most"],
  ["header starts with space", craft(" {}"), "does not start with '{'"],
  ["header starts with BOM", craft("\ufeff{}"), "does not start with '{'"],
  ["header is an array", craft("[1]"), "does not start with '{'"],
  ["header is null", craft("null"), "does not start with '{'"],
  ["header not closed", craft('{"a":1'), "expected '}'"],
  ["text after the header", craft("{}x"), "text after the end"],
  ["two objects", craft("{}{}"), "text after the end"],
  ["NUL padding", craft("{}\0\0\0\0\0\0"), "text after the end"],
  ["trailing comma", craft(`{"a":${JSON.stringify(t("U8", [0], 0, 0))},}`), "expected"],
  ["single quotes", craft("{'a':1}"), "expected"],
  ["comment", craft("{/**/}"), "expected"],
  ["invalid UTF-8", craft(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)), "UTF-8"],
  ["overlong UTF-8", craft(Uint8Array.of(0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d)), "UTF-8"],
  [
    "UTF-8 surrogate",
    craft(Uint8Array.of(0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x7d, 0x20)),
    "UTF-8",
  ],
  ["escaped lone surrogate", craft('{"\\ud800":1}'), "surrogate"],
  ["raw newline in a name", craft('{"a\nb":1}'), "control character"],
  ["unknown escape", craft('{"\\q":1}'), "escape"],
  ["deep nesting", craft(`{"a":${"[".repeat(5000)}`), "nested deeper"],
  [
    "same tensor twice",
    craft(
      `{"a":${JSON.stringify(t("U8", [4], 0, 4))},"a":${JSON.stringify(t("F32", [1], 0, 4))}}`,
      4,
    ),
    "duplicate key",
  ],
  [
    "same tensor twice, one escaped",
    craft(
      `{"a":${JSON.stringify(t("U8", [4], 0, 4))},"\\u0061":${JSON.stringify(t("U8", [4], 0, 4))}}`,
      4,
    ),
    "duplicate key",
  ],
  [
    "dtype twice",
    craft('{"a":{"dtype":"U8","dtype":"F32","shape":[4],"data_offsets":[0,4]}}', 4),
    "duplicate",
  ],
  [
    "shape twice",
    craft('{"a":{"dtype":"U8","shape":[4],"shape":[1],"data_offsets":[0,4]}}', 4),
    "duplicate",
  ],
  ["metadata twice", craft('{"__metadata__":{},"__metadata__":{}}'), "duplicate"],
  ["metadata is text", craft({ __metadata__: "pt" }), "__metadata__ is not an object"],
  ["metadata is a list", craft({ __metadata__: [] }), "__metadata__ is not an object"],
  ["metadata holds a number", craft({ __metadata__: { a: 1 } }), "not text"],
  ["metadata holds an object", craft({ __metadata__: { a: {} } }), "not text"],
  ["tensor is null", craft({ a: null }), "is not an object"],
  ["tensor is a list", craft({ a: [] }), "is not an object"],
  ["tensor is text", craft({ a: "F32" }), "is not an object"],
  ["no dtype", craft({ a: { shape: [1], data_offsets: [0, 4] } }, 4), "unknown dtype"],
  ["no shape", craft({ a: { dtype: "F32", data_offsets: [0, 4] } }, 4), "the shape of"],
  ["no offsets", craft({ a: { dtype: "F32", shape: [1] } }, 4), "data_offsets of"],
  ["unknown key", craft({ a: { ...t("F32", [1], 0, 4), strides: [1] } }, 4), "unknown key"],
  ["unknown dtype", craft({ a: t("F31", [1], 0, 4) }, 4), "unknown dtype"],
  ["lower-case dtype", craft({ a: t("f32", [1], 0, 4) }, 4), "unknown dtype"],
  ["inherited dtype", craft({ a: t("constructor", [1], 0, 4) }, 4), "unknown dtype"],
  ["dtype is a number", craft({ a: { ...t("", [1], 0, 4), dtype: 4 } }, 4), "unknown dtype"],
  ["shape is a number", craft({ a: t("F32", 1, 0, 4) }, 4), "the shape of"],
  ["shape holds text", craft({ a: t("F32", ["1"], 0, 4) }, 4), "the shape of"],
  ["shape holds null", craft({ a: t("F32", [null], 0, 4) }, 4), "the shape of"],
  ["negative dimension", craft({ a: t("F32", [-1], 0, 4) }, 4), "expected an integer"],
  ["two negative dimensions", craft({ a: t("F32", [-1, -1], 0, 4) }, 4), "expected an integer"],
  ["fractional dimension", craft({ a: t("F32", [1.5], 0, 6) }, 6), "expected an integer"],
  [
    "dimension 1.0",
    craft('{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}', 4),
    "expected an integer",
  ],
  [
    "dimension 1e0",
    craft('{"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}', 4),
    "expected an integer",
  ],
  [
    "dimension 2^53",
    craft('{"a":{"dtype":"F32","shape":[9007199254740992],"data_offsets":[0,4]}}', 4),
    "expected an integer",
  ],
  [
    "product wraps at 2^64",
    craft({ a: t("U8", [2 ** 32, 2 ** 32], 0, 0) }),
    "needs 18446744073709551616 bytes",
  ],
  ["product wraps at 2^64 to 4", craft({ a: t("F32", [2 ** 31 + 1, 2 ** 33], 0, 4) }, 4), "needs"],
  ["65 dimensions", craft({ a: t("U8", Array(65).fill(1), 0, 1) }, 1), "the shape of"],
  ["a million dimensions", craft({ a: t("U8", Array(1e6).fill(1), 0, 1) }, 1), "the shape of"],
  [
    "offsets of three",
    craft({ a: { dtype: "U8", shape: [1], data_offsets: [0, 1, 2] } }, 1),
    "pair",
  ],
  ["offsets of one", craft({ a: { dtype: "U8", shape: [1], data_offsets: [0] } }, 1), "pair"],
  [
    "offsets as object",
    craft({ a: { dtype: "U8", shape: [1], data_offsets: { 0: 0, 1: 1 } } }, 1),
    "pair",
  ],
  ["offsets reversed", craft({ a: t("U8", [4], 4, 0) }, 4), "before it begins"],
  ["offset negative", craft({ a: t("U8", [4], -4, 0) }, 4), "expected an integer"],
  ["end beyond the file", craft({ a: t("U8", [5], 0, 5) }, 4), "but the file has 4"],
  [
    "end far beyond the file",
    craft({ a: t("U8", [2 ** 50], 0, 2 ** 50) }, 4),
    "but the file has 4",
  ],
  ["too few bytes for the shape", craft({ a: t("F32", [2], 0, 4) }, 4), "needs 8 bytes"],
  ["too many bytes for the shape", craft({ a: t("F32", [1], 0, 8) }, 8), "needs 4 bytes"],
  ["scalar with two values", craft({ a: t("F32", [], 0, 8) }, 8), "needs 4 bytes"],
  ["half a byte of F4", craft({ a: t("F4", [3], 0, 2) }, 2), "no whole number"],
  ["gap at the start", craft({ a: t("U8", [4], 4, 8) }, 8), "leaves a gap"],
  ["gap in the middle", craft({ a: t("U8", [2], 0, 2), b: t("U8", [2], 3, 5) }, 5), "leaves a gap"],
  ["data after the end", craft({ a: t("U8", [2], 0, 2) }, 3), "goes on to byte"],
  ["data and no tensors", craft({}, 3), "goes on to byte"],
  ["overlap", craft({ a: t("U8", [4], 0, 4), b: t("U8", [4], 2, 6) }, 6), "overlaps"],
  ["same range twice", craft({ a: t("U8", [4], 0, 4), b: t("U8", [4], 0, 4) }, 4), "overlaps"],
  ["inside another", craft({ a: t("U8", [6], 0, 6), b: t("U8", [2], 2, 4) }, 6), "overlaps"],
  [
    "empty tensor inside another",
    craft({ a: t("U8", [4], 0, 4), b: t("U8", [0], 2, 2) }, 4),
    "overlaps",
  ],
  ["name of 513 bytes", craft({ ["n".repeat(513)]: t("U8", [0], 0, 0) }), "longer than 512"],
  [
    "name of 257 two-byte letters",
    craft({ ["é".repeat(257)]: t("U8", [0], 0, 0) }),
    "longer than 512",
  ],
  [
    "Git-LFS pointer",
    raw("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
    "Git-LFS",
  ],
  ["GGUF", raw("GGUF\x03\0\0\0\0\0\0\0\0\0\0\0"), "GGUF"],
  ["zip (PyTorch)", raw("PK\x03\x04 and so on"), "pickled"],
  ["web page", raw("<!DOCTYPE html><html>404</html>"), "web page"],
];

describe("malformed files", () => {
  test("there are at least 60 of them", () => expect(malformed.length).toBeGreaterThanOrEqual(60));
  for (const [name, bytes, message] of malformed) {
    test(name, () => {
      const fail = refusal(bytes);
      expect(fail.exit).toBe(Exit.data);
      expect(fail.message).toMatch(/x\.safetensors: byte \d+: /);
      expect(fail.message).toContain(message);
      expect(fail.message.length).toBeLessThan(600);
      expect(fail.fix).toBeTruthy();
    });
  }

  test("the byte offset points at the culprit", () => {
    const bytes = craft({ ok: t("U8", [2], 0, 2), "bad name": t("U8", [3], 2, 4) }, 4);
    const offset = Number(/byte (\d+)/.exec(refusal(bytes).message)![1]);
    expect(new TextDecoder().decode(bytes.subarray(offset, offset + 10))).toBe('"bad name"');
  });

  test("200 001 tensors are refused, 200 000 are read", () => {
    const entry = JSON.stringify(t("U8", [0], 0, 0));
    const many = (n: number) => {
      const json = raw(`{${Array.from({ length: n }, (_, i) => `"${i}":${entry}`).join(",")}}`);
      const bytes = new Uint8Array(8 + json.length);
      new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
      bytes.set(json, 8);
      return bytes;
    };
    expect(refusal(many(200_001)).message).toContain("more than 200000");
    using file = open(many(200_000));
    expect(file.tensors.size).toBe(200_000);
  }, 30_000);

  test("what is no regular file is refused at once", () => {
    expect(() => openSafetensors(dir)).toThrow(Fail);
    expect(() => openSafetensors(join(dir, "none"))).toThrow("no such file");
    if (process.platform === "linux") {
      expect(() => openSafetensors("/dev/zero")).toThrow("not a regular file");
      const pipe = join(dir, "pipe");
      Bun.spawnSync(["mkfifo", pipe]);
      expect(() => openSafetensors(pipe)).toThrow("not a regular file");
    }
  });
});

describe("well-formed files", () => {
  test("the least, and the odd but right", () => {
    using nothing = open(craft("{}      "));
    expect(nothing.tensors.size).toBe(0);
    using odd = open(craft({
      b: t("F32", [], 8, 12),
      __metadata__: { k: "v" },
      "": t("U8", [0], 0, 0),
      a: t("F16", [2, 2], 0, 8),
      __proto__x: t("F4", [2, 2], 12, 14),
      z: t("I64", [3, 0, 2 ** 40], 14, 14),
    }, 14));
    expect([...odd.tensors.keys()]).toEqual(["", "a", "b", "__proto__x", "z"]);
    expect([...odd.metadata]).toEqual([["k", "v"]]);
    expect(odd.readF32("b").length).toBe(1);
    expect(odd.readF32("z").length).toBe(0);
  });

  test("a tensor may be called __proto__", () => {
    using file = open(craft('{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1));
    expect(file.tensors.get("__proto__")?.dtype).toBe("U8");
  });
});

/** A small seeded generator (mulberry32), so that a failing case can be run again. */
function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let x = Math.imul(seed ^ (seed >>> 15), seed | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

function randomTensors(random: () => number): TensorSource[] {
  const dtypes = Object.keys(dtypeBits) as Dtype[];
  return Array.from({ length: Math.floor(random() * 12) }, (_, i) => {
    const dtype = dtypes[Math.floor(random() * dtypes.length)]!;
    const shape = Array.from({ length: Math.floor(random() * 4) }, () => Math.floor(random() * 5));
    if (dtypeBits[dtype] % 8 !== 0) shape.push(8);
    const size = shape.reduce((a, b) => a * b, 1) * dtypeBits[dtype] / 8;
    const data = Uint8Array.from({ length: size }, () => random() * 256);
    const name = ["layer.", 'q"\\', "é😀", "\u0001", "z"][Math.floor(random() * 5)]! + i;
    const cut = Math.floor(random() * size);
    const late = random() < 0.5;
    return { name, dtype, shape, data: late ? () => [data.slice(0, cut), data.slice(cut)] : data };
  });
}

function bytesOf(tensor: TensorSource): Uint8Array {
  if (tensor.data instanceof Uint8Array) return tensor.data;
  return new Uint8Array([...tensor.data() as Iterable<Uint8Array>].flatMap((part) => [...part]));
}

describe("writer", () => {
  test("what is written is read back, in every type, whatever the order given", async () => {
    for (let seed = 0; seed < 150; seed++) {
      const tensors = randomTensors(seeded(seed));
      const path = join(dir, "w.safetensors");
      const metadata: Record<string, string> = seed % 2 ? { format: "pt", "a\n": "é" } : {};
      const one = await writeSafetensors(path, tensors, metadata);
      const two = await writeSafetensors(path, tensors.toReversed(), metadata);
      expect([seed, one]).toEqual([seed, two]);
      using file = openSafetensors(path);
      expect(Object.fromEntries(file.metadata)).toEqual(metadata);
      expect([...file.tensors.keys()].sort()).toEqual(tensors.map((t) => t.name).sort());
      expect(file.header.length % 8).toBe(0);
      for (const tensor of tensors) {
        expect(file.tensors.get(tensor.name)).toMatchObject({
          dtype: tensor.dtype,
          shape: tensor.shape,
        });
        expect(Buffer.from(file.readBytes(tensor.name)).equals(bytesOf(tensor))).toBe(true);
      }
    }
  });

  test("refuses wrong sizes, double names and bad shapes, leaving no file", async () => {
    const path = join(dir, "none.safetensors");
    const source = (change: Partial<TensorSource>): TensorSource => ({
      name: "a",
      dtype: "F32",
      shape: [2],
      data: new Uint8Array(8),
      ...change,
    });
    const cases: [TensorSource[], string][] = [
      [[source({ data: new Uint8Array(7) })], "7 bytes for [2] F32"],
      [[source({ data: () => [new Uint8Array(9)] })], "9 bytes came, expected 8"],
      [[source({}), source({})], "duplicate key"],
      [[source({ name: "n".repeat(600) })], "longer than 512"],
      [[source({ name: "__metadata__" })], "duplicate key"],
      [[source({ name: "\ud800" })], "surrogate"],
      [[source({ shape: [2 ** 60], data: () => [] })], "no such size"],
      [[source({ dtype: "F4", shape: [1], data: new Uint8Array(1) })], "no such size"],
    ];
    for (const [tensors, message] of cases) {
      const error = await writeSafetensors(path, tensors).then(() => "accepted", String);
      expect(error).toContain(message);
      expect(fs.existsSync(path)).toBe(false);
    }
    expect(fs.readdirSync(dir).filter((name) => name.startsWith(".tmp-"))).toEqual([]);
  });
});

describe("ranged reads", () => {
  test("any range of bytes and rows equals the same part of the whole", async () => {
    const random = seeded(7);
    const x = Float32Array.from({ length: 37 * 11 }, () => random() - 0.5);
    const path = join(dir, "r.safetensors");
    const dtypes = ["F32", "F16", "BF16"] as const;
    await writeSafetensors(path, [
      ...dtypes.map((dtype) => ({ name: dtype, dtype, shape: [37, 11], data: fromF32(x, dtype) })),
      { name: "odd", dtype: "U8", shape: [1], data: new Uint8Array(1) },
    ]);
    using file = openSafetensors(path);
    for (const dtype of dtypes) {
      const whole = toF32(fromF32(x, dtype), dtype);
      expect(file.readF32(dtype)).toEqual(whole);
      for (let i = 0; i < 50; i++) {
        const from = Math.floor(random() * 38), to = from + Math.floor(random() * (38 - from));
        expect(file.readF32(dtype, from, to)).toEqual(whole.slice(from * 11, to * 11));
        expect(file.readBytes(dtype, from, to)).toEqual(fromF32(x, dtype).slice(from, to));
      }
      for (const [from, to] of [[-1, 2], [0, 38], [3, 2], [0.5, 1], [NaN, 1]] as const) {
        expect(() => file.readF32(dtype, from, to)).toThrow(RangeError);
      }
    }
    expect(() => file.readF32("none")).toThrow(Fail);
    file.close();
    expect(() => file.readF32("F32")).toThrow("is closed");
  });

  test("a file cut after opening is an error, not zeros", async () => {
    const path = join(dir, "cut.safetensors");
    await writeSafetensors(path, [{
      name: "a",
      dtype: "U8",
      shape: [99],
      data: new Uint8Array(99),
    }]);
    using file = openSafetensors(path);
    fs.truncateSync(path, fs.statSync(path).size - 1);
    expect(() => file.readBytes("a")).toThrow("ended while it was read");
    expect(file.readBytes("a", 0, 98).length).toBe(98);
  });

  test("types without numbers are refused by name", async () => {
    const path = join(dir, "f8.safetensors");
    await writeSafetensors(path, [{
      name: "a",
      dtype: "F8_E4M3",
      shape: [2],
      data: new Uint8Array(2),
    }]);
    using file = openSafetensors(path);
    expect(() => file.readF32("a")).toThrow("F8_E4M3");
  });
});

describe("mutations of a valid file", () => {
  test("each is refused with a Fail or reads consistently", async () => {
    const random = seeded(11);
    const path = join(dir, "m.safetensors");
    await writeSafetensors(path, [
      { name: "a.weight", dtype: "F32", shape: [3, 2], data: new Uint8Array(24) },
      { name: "b.weight", dtype: "BF16", shape: [4], data: new Uint8Array(8) },
    ]);
    const good = fs.readFileSync(path);
    const tokens = [
      "0",
      "9",
      "[",
      "]",
      "{",
      "}",
      '"',
      ",",
      "-",
      "e",
      "\\",
      "\0",
      "\xff",
      "F16",
      "999999999999",
    ];
    let accepted = 0;
    for (let i = 0; i < 1500; i++) {
      let bytes = Buffer.from(good);
      for (let k = 0; k <= random() * 3; k++) {
        const at = Math.floor(random() * bytes.length);
        const token = Buffer.from(tokens[Math.floor(random() * tokens.length)]!, "latin1");
        const skip = random() < 0.5 ? token.length : 0;
        if (random() < 0.2) bytes = bytes.subarray(0, at);
        else bytes = Buffer.concat([bytes.subarray(0, at), token, bytes.subarray(at + skip)]);
      }
      try {
        using file = open(bytes);
        accepted++;
        let sum = 8 + file.header.length;
        for (const name of file.tensors.keys()) sum += file.readBytes(name).length;
        expect(sum).toBe(bytes.length);
      } catch (error) {
        if (!(error instanceof Fail)) throw new Error(`case ${i}`, { cause: error });
      }
    }
    expect(accepted).toBeGreaterThan(20);
    expect(accepted).toBeLessThan(1000);
  });
});
