/**
 * Makes tests/fixtures/imatrix/*.bin: what ggml's own ggml_quantize_chunk writes for the rows of
 * values.ts, once for each kind of importance. It calls the library that the oracle's package brings:
 * `bun install` in tests/oracle, then `bun scripts/imatrix_vectors.ts` on linux-x64.
 */
import { dlopen, ptr } from "bun:ffi";
import { join } from "node:path";
import { blockType, bytesOf } from "../src/formats/gguf_blocks.ts";
import { importances, KINDS, ROWS, rows, TYPES, WIDTH } from "../tests/fixtures/imatrix/values.ts";

const root = join(import.meta.dir, "..");
const library = process.argv[2] ??
  `${root}/tests/oracle/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so`;
const { symbols: ggml } = dlopen(library, {
  ggml_quantize_chunk: { args: ["i32", "ptr", "ptr", "i64", "i64", "i64", "ptr"], returns: "u64" },
});
const values = rows();
for (const name of TYPES) {
  const type = blockType(name), size = bytesOf(type, values.length);
  const out = new Uint8Array(size * KINDS);
  for (let kind = 0; kind < KINDS; kind++) {
    const part = new Uint8Array(size);
    const written = ggml.ggml_quantize_chunk(
      type.id,
      ptr(values),
      ptr(part),
      0,
      ROWS,
      WIDTH,
      ptr(importances(kind)),
    );
    if (Number(written) !== size) throw new Error(`${name}: ${written} bytes, expected ${size}`);
    out.set(part, kind * size);
  }
  await Bun.write(`${root}/tests/fixtures/imatrix/${name}.bin`, out);
  console.log(name, out.length);
}
