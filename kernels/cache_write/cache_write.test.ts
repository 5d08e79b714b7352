import { test } from "bun:test";
import { checkKernel } from "../check.ts";
import { cacheWriteOp } from "./cache_write.ts";

for (
  const [size, width, rows] of [[5, 3, [4, 0, 9]], [64, 65, [63, 1, 2, 0xffffffff, 7]], [9, 12, [
    8,
    0,
    9,
    3,
  ]], [1, 1, [
    0,
  ]]] as const
) {
  test(`cache_write: ${rows.length} rows of ${width} into ${size}`, async () => {
    const T = rows.length;
    const dtype = width % 4 === 0 ? "f16" as const : undefined;
    await checkKernel({
      op: cacheWriteOp,
      attrs: null,
      inputs: [{ shape: [size, width], dtype }, { shape: [T, width], dtype }, {
        shape: [T],
        dtype: "u32",
        data: rows,
      }],
    }, { bound: () => 1e-30 });
  });
}
