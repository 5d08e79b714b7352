import { test } from "bun:test";
import { matmulCase } from "./cases.ts";
import { checkMatrix, matrixCases, matrixWays, units } from "./matrix_cases.ts";

// Every tiling of every matrix unit, on every case; the large ones take a processor long to compile.
for (const [name, config] of Object.entries({ ...units, own: undefined })) {
  for (const way of await matrixWays(config)) {
    for (const c of matrixCases) {
      test(
        `${name}, ${way}: ${c.form} ${c.M}x${c.N}x${c.K} ${c.dtype ?? "f32"}`,
        () => checkMatrix(matmulCase(c), config, way),
        600_000,
      );
    }
  }
}
