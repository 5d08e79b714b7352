import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openGguf } from "./gguf.ts";
import { blockCodec, blockType, bytesOf } from "./gguf_blocks.ts";
import { array, bool, f32, type GgufValue, text, u32 } from "./gguf_types.ts";
import { writeGguf } from "./gguf_write.ts";

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), "whet-"))));
afterAll(() => rm(dir, { recursive: true }));

const every: [string, GgufValue][] = [
  ["u8", { type: "u8", value: 255 }],
  ["i8", { type: "i8", value: -128 }],
  ["u16", { type: "u16", value: 65535 }],
  ["i16", { type: "i16", value: -32768 }],
  ["u32", u32(2 ** 32 - 1)],
  ["i32", { type: "i32", value: -(2 ** 31) }],
  ["f32", f32(0.5)],
  ["bool", bool(true)],
  ["string", text("naïve 🙂\0")],
  ["u64", { type: "u64", value: 2n ** 64n - 1n }],
  ["i64", { type: "i64", value: -(2n ** 63n) }],
  ["f64", { type: "f64", value: Math.PI }],
  ["strings", array("string", ["", "a", "日本"])],
  ["bools", array("bool", [true, false])],
  ["longs", array("u64", [0n, 2n ** 53n + 1n])],
  ["none", array("i32", [])],
];
const values = Float32Array.from({ length: 5 * 64 }, (_, i) => Math.sin(i));

function tensor(name: string, typeName: string) {
  const type = blockType(typeName);
  const bytes = new Uint8Array(bytesOf(type, values.length));
  blockCodec(typeName).quantize(values, bytes);
  // Uneven pieces: the writer must not care.
  return { name, type, shape: [5, 64], chunks: () => [bytes.subarray(0, 7), bytes.subarray(7)] };
}

test("what is written is read: every value type, every convertible tensor type", async () => {
  const path = join(dir, "all.gguf");
  const tensors = ["f32", "f16", "bf16", "q8_0"].map((type) => tensor(`w.${type}`, type));
  const vector = { ...tensor("v", "f32"), shape: [320] };
  const written = await writeGguf(path, {
    metadata: new Map(every),
    tensors: [...tensors, vector],
  });
  expect(written.size).toBe(readFileSync(path).length);

  using file = openGguf(path);
  expect([...file.metadata]).toEqual(every);
  expect(file.tensors.get("w.f32")!.shape).toEqual([5, 64]);
  expect(file.readF32("w.f32")).toEqual(values);
  expect(file.readF32("v")).toEqual(values);
  expect(file.readF32("w.f32", 2, 4)).toEqual(values.slice(128, 256));
  for (const [type, error] of [["f16", 5e-4], ["bf16", 4e-3], ["q8_0", 4e-3]] as const) {
    const back = file.readF32(`w.${type}`, 1, 3);
    expect(back.every((value, i) => Math.abs(value - values[64 + i]!) <= error)).toBe(true);
    expect(back).not.toEqual(values.slice(64, 192));
  }
  expect(() => file.readF32("w.f32", 3, 6)).toThrow("not within 0..5");
  expect(() => file.readBytes("nothing")).toThrow("has no tensor nothing");
});

test("general.alignment is followed", async () => {
  const path = join(dir, "aligned.gguf");
  const metadata = new Map([["general.alignment", u32(256)]]);
  await writeGguf(path, { metadata, tensors: [tensor("a", "q8_0"), tensor("b", "f32")] });
  using file = openGguf(path);
  expect([...file.tensors.values()].map(({ offset }) => offset % 256)).toEqual([0, 0]);
  expect(file.readF32("b")).toEqual(values);
});

test("a header longer than the first read is read on", async () => {
  const path = join(dir, "long.gguf");
  const tokens = Array.from({ length: 120_000 }, (_, i) => `token number ${i}`);
  const metadata = new Map([["tokens", array("string", tokens)]]);
  await writeGguf(path, { metadata, tensors: [tensor("w", "f32")] });
  using file = openGguf(path);
  expect(file.dataStart).toBeGreaterThan(2 << 20);
  expect(file.readF32("w")).toEqual(values);
});

describe("nothing is left of a file that cannot be written", () => {
  const good = tensor("w", "f32");
  const bad: [string, [string, GgufValue][], (typeof good)[], string][] = [
    [
      "too few bytes",
      [],
      [{ ...good, chunks: () => [new Uint8Array(8)] as Uint8Array[] }] as never,
      "8 bytes",
    ],
    ["a name of 64 bytes", [], [{ ...good, name: "n".repeat(64) }], "1 to 63 bytes"],
    ["a name twice", [], [good, good], "written twice"],
    ["a u32 that does not fit", [["k", u32(-1)]], [good], "expected a u32"],
    ["a fraction in an i32 array", [["k", array("i32", [1.5])]], [good], "expected a i32"],
    ["an empty key", [["", u32(1)]], [good], "key is empty"],
    [
      "rows that are not blocks",
      [],
      [{ ...tensor("w", "q8_0"), shape: [10, 33] }] as never,
      "blocks",
    ],
  ];
  for (const [name, metadata, tensors, message] of bad) {
    test(name, async () => {
      const path = join(dir, "bad.gguf");
      await expect(writeGguf(path, { metadata: new Map(metadata), tensors })).rejects.toThrow(
        message,
      );
      expect((await readdir(dir)).filter((file) => file.includes("bad"))).toEqual([]);
    });
  }
});

describe("what is no GGUF file is named", () => {
  test("a missing file, a folder, a pointer, an empty file", async () => {
    expect(() => openGguf(join(dir, "none.gguf"))).toThrow("there is no such file");
    expect(() => openGguf(dir)).toThrow("not a regular file");
    await writeFile(
      join(dir, "lfs.gguf"),
      "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    );
    expect(() => openGguf(join(dir, "lfs.gguf"))).toThrow("Git LFS pointer");
    await writeFile(join(dir, "empty.gguf"), "");
    expect(() => openGguf(join(dir, "empty.gguf"))).toThrow("too short");
  });
});

test("a file of a type that is not converted opens and gives its bytes", async () => {
  const path = join(dir, "q2.gguf");
  const bytes = Uint8Array.from({ length: 84 }, (_, i) => i);
  const tensor = { name: "w", type: blockType("q2_K"), shape: [1, 256], chunks: () => [bytes] };
  await writeGguf(path, { metadata: new Map(), tensors: [tensor] });
  using file = openGguf(path);
  expect(file.readBytes("w")).toEqual(bytes);
  expect(() => file.readF32("w")).toThrow("q2_K cannot be converted");
});
