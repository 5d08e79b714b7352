import { expect, test } from "bun:test";
import { Graph } from "../../src/graph/graph.ts";
import { checkDerivative, checkKernel } from "../check.ts";
import { runReference } from "../reference.ts";
import { concatRows, concatRowsOp, splitRows, splitRowsOp } from "./concat_rows.ts";

for (const [C, ...rows] of [[1, 64, 3], [5, 64, 64, 1], [8, 128, 64], [96, 64], [33, 7]]) {
  test(`concat_rows: ${rows.join(" + ")} rows of ${C}`, async () => {
    const inputs = rows.map((n) => ({ shape: [n, C!] }));
    await checkKernel({ op: concatRowsOp, attrs: null, inputs }, { bound: () => 1e-12 });
    expect(checkDerivative({ op: concatRowsOp, attrs: null, inputs })).toBeLessThan(1e-6);
    const whole = [{ shape: [rows.reduce((a, b) => a + b), C!] }];
    const parts = [...rows.keys()];
    expect(checkDerivative({ op: splitRowsOp, attrs: { rows }, inputs: whole }, parts))
      .toBeLessThan(1e-6);
  });
}

test("concat_rows puts together what split_rows parts; rows that cannot be bound are refused", () => {
  const g = new Graph(), x = g.input("x", [130, 2], "f32");
  const parts = splitRows(g, x, 64);
  expect(parts.map((t) => t.shape[0])).toEqual([64, 64, 2]);
  const y = concatRows(g, parts), numbers = Float64Array.from({ length: 260 }, (_, i) => i);
  expect(runReference(g.nodes, new Map([[x, numbers]])).get(y)).toEqual(numbers);
  expect(() => splitRows(g, x, 65)).toThrow("65 + 65 rows");
  expect(() => concatRows(g, [g.input("a", [3, 2], "f32"), x])).toThrow("concat_rows");
});
