import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blockType } from "./gguf_blocks.ts";
import { text } from "./gguf_types.ts";
import { writeGguf } from "./gguf_write.ts";
import { readImatrix, writeImatrix } from "./imatrix.ts";

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), "whet-"))));
afterAll(() => rm(dir, { recursive: true }));

/** An importance matrix in the older form: i32 fields, names, values. */
function legacy(entries: [string, calls: number, values: number[]][], tail?: [number, string]) {
  const parts: Buffer[] = [];
  const i32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    parts.push(bytes);
  };
  const string = (value: string) => (i32(value.length), parts.push(Buffer.from(value)));
  i32(entries.length);
  for (const [name, calls, values] of entries) {
    string(name);
    i32(calls);
    i32(values.length);
    parts.push(Buffer.from(new Float32Array(values).buffer));
  }
  if (tail) (i32(tail[0]), string(tail[1]));
  return Buffer.concat(parts);
}

test("what is written is read: means of squares, chunks and the dataset's name", async () => {
  const path = join(dir, "a.imatrix");
  const sums = new Map([
    ["blk.0.ffn_down.weight", { squares: Float64Array.of(2, 4, 0), count: 4 }],
    ["blk.0.attn_q.weight", { squares: Float64Array.of(9), count: 3 }],
  ]);
  await writeImatrix(path, sums, { chunks: 7, chunkSize: 512, dataset: "rows.jsonl" });
  const { columns, ...rest } = readImatrix(path);
  expect(rest).toEqual({ chunks: 7, dataset: "rows.jsonl" });
  expect([...columns].map(([name, v]) => [name, ...v])).toEqual([
    ["blk.0.attn_q.weight", 3],
    ["blk.0.ffn_down.weight", 0.5, 1, 0],
  ]);
});

test("the older form, with and without its last fields", async () => {
  const path = join(dir, "old.dat");
  for (const tail of [undefined, [12, "wiki.txt"] as [number, string]]) {
    await writeFile(path, legacy([["a.weight", 4, [8, 2]], ["b.weight", 0, [3]]], tail));
    const { columns, chunks, dataset } = readImatrix(path);
    expect([...columns].map(([name, v]) => [name, ...v])).toEqual([
      ["a.weight", 2, 0.5],
      ["b.weight", 3],
    ]);
    expect([chunks, dataset as unknown]).toEqual(tail ?? [0, undefined]);
  }
});

test("matrices of several experts have counts of their own; what was never seen weighs 1", async () => {
  const path = join(dir, "experts.gguf"), type = blockType("f32");
  const tensor = (name: string, shape: number[], values: number[]) => ({
    name,
    type,
    shape,
    chunks: () => [new Uint8Array(Float32Array.from(values).buffer)],
  });
  await writeGguf(path, {
    metadata: new Map([["general.type", text("imatrix")]]),
    tensors: [
      tensor("x.weight.in_sum2", [2, 2], [4, 8, 5, 5]),
      tensor("x.weight.counts", [2, 1], [4, 0]),
    ],
  });
  expect([...readImatrix(path).columns.get("x.weight")!]).toEqual([1, 2, 1, 1]);
});

test("what is no importance matrix is refused by name", async () => {
  const path = join(dir, "bad");
  const whole = legacy([["a.weight", 1, [1, 2, 3]]]);
  const bad: [Buffer, string][] = [
    [whole.subarray(0, 20), "cut short"],
    [Buffer.from("PK\x03\x04 something else entirely"), "cut short"],
    [Buffer.alloc(0), "cut short"],
    [legacy([["a.weight", 1, [1, NaN]]]), "a.weight holds NaN"],
    [legacy([["a.weight", 1, [-1]]]), "a.weight holds -1"],
    [legacy([]), "it holds no tensor"],
  ];
  for (const [bytes, what] of bad) {
    await writeFile(path, bytes);
    expect(() => readImatrix(path)).toThrow(what);
  }
  expect(() => readImatrix(join(dir, "none"))).toThrow("there is no such file");
  expect(() => readImatrix(dir)).toThrow("not a regular file");
  await writeGguf(path, {
    metadata: new Map([["general.type", text("model")]]),
    tensors: [],
  });
  expect(() => readImatrix(path)).toThrow("is a model, not an importance matrix");
});
