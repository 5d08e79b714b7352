import { test } from "bun:test";
import { aligned, checkMatmul, sizes } from "./cases.ts";

// Every form, dtype and finish, each over triples in which every size takes every place.
for (const form of ["nt", "nn", "tn"] as const) {
  for (const dtype of ["f32", "f16", "bf16", "int8", "nf4", "nf4_double"] as const) {
    if (form === "tn" && dtype !== "f32") continue;
    for (const bias of [false, true]) {
      for (const add of [false, true]) {
        const near = sizes.map((M, i) => [M, sizes[(i + 5) % 17]!, sizes[(i + 11) % 17]!]);
        const even = aligned.map((M, i) => [M, aligned[(i + 2) % 9]!, aligned[(i + 5) % 9]!]);
        const blocks = aligned.slice(0, 4).map((M, i) =>
          form === "nt" ? [M, aligned[8 - i]!, 64 * (i + 1)] : [M, 64 * (i + 1), aligned[8 - i]!]
        );
        for (
          const [M, N, K] of [...near, ...even, ...(dtype.startsWith("nf4") ? blocks : [])] as [
            number,
            number,
            number,
          ][]
        ) {
          const finish = `${bias ? " bias" : ""}${add ? " add" : ""}`;
          test(`matmul ${form}: ${M}x${N}x${K} ${dtype}${finish}`, () =>
            checkMatmul({ form, M, N, K, dtype, bias, add }));
        }
      }
    }
  }
}

// Blocks of GGUF, whose rows are whole blocks.
for (const form of ["nt", "nn"] as const) {
  for (const dtype of ["q4_0", "q5_0", "q8_0", "q4_K", "q5_K", "q6_K"] as const) {
    const block = dtype.endsWith("K") ? 256 : 32;
    sizes.forEach((M, i) => {
      const other = sizes[(i + 5) % 17]!, width = block * (1 + i % 3);
      const [N, K] = form === "nt" ? [other, width] : [width, other];
      const finish = { bias: i % 2 === 0, add: i % 4 < 2 };
      test(`matmul ${form}: ${M}x${N}x${K} ${dtype} ${JSON.stringify(finish)}`, () =>
        checkMatmul({ form, M, N, K, dtype, ...finish }));
    });
  }
}
