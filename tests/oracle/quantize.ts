/**
 * llama.cpp's own quantiser: llama_model_quantize of the library that this folder's package brings,
 * which llama-quantize is a command line of.
 *
 *   bun tests/oracle/quantize.ts IN.gguf OUT.gguf FILE_TYPE [THREADS] [IMATRIX]
 */
import { dlopen, type Pointer, ptr, suffix } from "bun:ffi";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { readImatrix } from "../../src/formats/imatrix.ts";

const libraries = join(
  import.meta.dir,
  "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64",
);

/** Where a library of llama.cpp is; undefined where it is not installed. */
export function libraryOf(name: string): string | undefined {
  if (!existsSync(libraries)) return undefined;
  const file = readdirSync(libraries).find((file) =>
    file.startsWith(`lib${name}.`) && file.includes(`.${suffix}`)
  );
  return file === undefined ? undefined : join(libraries, file);
}

const PARAMS = 256;
/** Byte offsets in llama_model_quantize_params. */
const [THREADS, TYPE, MATRIX] = [0, 4, 24];

/**
 * Writes `out` from a GGUF file in f32 or f16.
 *
 * @param fileType the number of general.file_type
 * @param imatrix an importance matrix to weigh by
 */
export function llamaQuantize(
  from: string,
  out: string,
  { fileType, threads = 1, imatrix }: {
    fileType: number;
    threads?: number;
    imatrix?: string;
  },
): void {
  const { symbols: llama } = dlopen(libraryOf("llama")!, {
    // Gives its struct through a hidden first argument.
    llama_model_quantize_default_params: { args: ["ptr"], returns: "ptr" },
    llama_model_quantize: {
      args: ["cstring", "cstring", "ptr"],
      returns: "u32",
    },
  });
  const params = new Uint8Array(PARAMS), view = new DataView(params.buffer);
  llama.llama_model_quantize_default_params(ptr(params));
  view.setInt32(THREADS, threads, true);
  view.setInt32(TYPE, fileType, true);
  const kept: unknown[] = [];
  if (imatrix !== undefined) {
    const { columns } = readImatrix(imatrix),
      entries = new BigUint64Array(3 * columns.size + 3);
    [...columns].forEach(([name, values], i) => {
      const text = Buffer.from(`${name}\0`);
      kept.push(text, values);
      entries.set([
        BigInt(ptr(text)),
        BigInt(ptr(values)),
        BigInt(values.length),
      ], 3 * i);
    });
    kept.push(entries);
    view.setBigUint64(MATRIX, BigInt(ptr(entries) as Pointer), true);
  }
  const name = (path: string) => ptr(Buffer.from(`${path}\0`));
  const failed = llama.llama_model_quantize(
    name(from) as never,
    name(out) as never,
    ptr(params),
  );
  if (failed) {
    throw new Error(
      `llama.cpp could not quantise ${from}; ${kept.length} values`,
    );
  }
}

if (import.meta.main) {
  const [from, out, type, threads, imatrix] = process.argv.slice(2);
  llamaQuantize(from!, out!, {
    fileType: Number(type),
    threads: Number(threads ?? 1),
    imatrix,
  });
  const { user, system } = process.cpuUsage();
  console.log(JSON.stringify({
    cpu_s: (user + system) / 1e6,
    peak_mib: process.resourceUsage().maxRSS / 1024,
  }));
}
