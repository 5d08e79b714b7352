import { test } from "bun:test";
import { checkMatmul, sizes } from "./cases.ts";

// Every form, dtype and finish, each over triples in which every size takes every place.
for (const form of ["nt", "nn", "tn"] as const) {
  for (const dtype of ["f32", "f16", "bf16"] as const) {
    if (form === "tn" && dtype !== "f32") continue;
    for (const bias of [false, true]) {
      for (const add of [false, true]) {
        sizes.forEach((M, i) => {
          const N = sizes[(i + 5) % sizes.length]!, K = sizes[(i + 11) % sizes.length]!;
          const finish = `${bias ? " bias" : ""}${add ? " add" : ""}`;
          test(`matmul ${form}: ${M}x${N}x${K} ${dtype}${finish}`, () =>
            checkMatmul({ form, M, N, K, dtype, bias, add }));
        });
      }
    }
  }
}
