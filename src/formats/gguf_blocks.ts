import { fromF32, toF32 } from "../base/bits.ts";
import { Exit, Fail } from "../base/fail.ts";
import type { BlockCodec } from "./gguf_codec.ts";
import { q4KCodec, q5KCodec, q6KCodec } from "./gguf_kquants.ts";
import { q4Codec, q4MinCodec, q5Codec, q5MinCodec, q8Codec } from "./gguf_legacy.ts";

/**
 * A ggml tensor type: `block` values are stored together in `bytes` bytes, and a row (the last
 * dimension) is a whole number of blocks.
 */
export interface BlockType {
  readonly name: string;
  /** Number in the file. */
  readonly id: number;
  readonly block: number;
  readonly bytes: number;
}

const rows: readonly (readonly [name: string, id: number, block: number, bytes: number])[] = [
  ["f32", 0, 1, 4],
  ["f16", 1, 1, 2],
  ["q4_0", 2, 32, 18],
  ["q4_1", 3, 32, 20],
  ["q5_0", 6, 32, 22],
  ["q5_1", 7, 32, 24],
  ["q8_0", 8, 32, 34],
  ["q8_1", 9, 32, 36],
  ["q2_K", 10, 256, 84],
  ["q3_K", 11, 256, 110],
  ["q4_K", 12, 256, 144],
  ["q5_K", 13, 256, 176],
  ["q6_K", 14, 256, 210],
  ["q8_K", 15, 256, 292],
  ["i8", 24, 1, 1],
  ["i16", 25, 1, 2],
  ["i32", 26, 1, 4],
  ["i64", 27, 1, 8],
  ["f64", 28, 1, 8],
  ["bf16", 30, 1, 2],
];

const blockTypes: readonly BlockType[] = rows.map(([name, id, block, bytes]) => ({
  name,
  id,
  block,
  bytes,
}));
const byId = new Map(blockTypes.map((type) => [type.id, type]));
const byName = new Map(blockTypes.map((type) => [type.name, type]));

/** The type with this number in a GGUF file, undefined when it is not one whet knows. */
export const blockTypeById = (id: number): BlockType | undefined => byId.get(id);

/** The type called `name` ("f32", "q8_0", "q4_K" …). */
export function blockType(name: string): BlockType {
  const found = byName.get(name);
  if (found === undefined) {
    throw new Fail(`${name} is not a GGUF tensor type`, {
      fix: `use one of ${blockTypes.map((type) => type.name).join(", ")}`,
      exit: Exit.usage,
    });
  }
  return found;
}

/** How values of type `name` are written and read; a Fail where whet cannot yet. */
export function blockCodec(name: string): BlockCodec {
  const found = codecs.get(blockType(name).name);
  if (found === undefined) {
    throw new Fail(`values of GGUF type ${name} cannot be converted`, {
      why: `whet converts ${[...codecs.keys()].join(", ")}`,
      fix: "use a file of one of these types",
      exit: Exit.data,
    });
  }
  return found;
}

/** Number of bytes of `values` values of a type; the count must be whole blocks. */
export function bytesOf(type: BlockType, values: number): number {
  if (values % type.block !== 0) {
    throw new Fail(`${values} values are not whole ${type.name} blocks of ${type.block}`);
  }
  return (values / type.block) * type.bytes;
}

/** f32, f16 and bf16 are blocks of one value. */
const plainCodec = (dtype: "F32" | "F16" | "BF16"): BlockCodec => ({
  quantize: (values, out) => out.set(fromF32(values, dtype)),
  dequantize: (bytes, out) => out.set(toF32(bytes, dtype)),
});

/** Types whose values can be converted; the others are only measured and copied. */
const codecs = new Map<string, BlockCodec>([
  ["f32", plainCodec("F32")],
  ["f16", plainCodec("F16")],
  ["bf16", plainCodec("BF16")],
  ["q4_0", q4Codec],
  ["q4_1", q4MinCodec],
  ["q5_0", q5Codec],
  ["q5_1", q5MinCodec],
  ["q8_0", q8Codec],
  ["q4_K", q4KCodec],
  ["q5_K", q5KCodec],
  ["q6_K", q6KCodec],
]);
