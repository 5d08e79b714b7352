import { expect, test } from "bun:test";
import { checkDerivative } from "../check.ts";
import { matmulOp } from "./matmul.ts";

for (const form of ["nt", "nn", "tn"] as const) {
  test(`matmul ${form}: derivative`, () => {
    const [M, N, K] = [3, 5, 4];
    const a = { shape: form === "tn" ? [K, M] : [M, K] };
    const b = { shape: form === "nt" ? [N, K] : [K, N] };
    const attrs = { form, alpha: 0.75, bias: true, add: true };
    const inputs = [a, b, { shape: [N] }, { shape: [M, N] }];
    expect(checkDerivative({ op: matmulOp, attrs, inputs })).toBeLessThan(1e-6);
  });
}
