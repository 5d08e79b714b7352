import { test } from "bun:test";
import { checkKernel } from "../check.ts";
import { scaleOp } from "./scale.ts";

for (const n of [1, 63, 64, 1001, 4096]) {
  test(`scale: ${n} elements`, async () => {
    const inputs = [{ shape: [n] }, { shape: [1] }];
    const bound = (_o: number, _i: number, want: number) => Math.abs(want) * 2 ** -23;
    await checkKernel({ op: scaleOp, attrs: null, inputs }, { bound });
  });
}
