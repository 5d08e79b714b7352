import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { folded, onHardware } from "../common/testing.ts";
import { type Distance, pairDistanceBackward, pairDistanceOp } from "./pair_distance.ts";

const ways: Distance[] = [{ kind: "l2" }, { kind: "dot", from: 1 }, { kind: "dot", from: 0 }];
const bound = (C: number) => () => 1e-6 * Math.max(4, Math.sqrt(C));

for (const attrs of ways) {
  const name = attrs.kind === "l2" ? "l2" : `${attrs.from} - dot`;
  test(`pair_distance, ${name}: derivative`, () => {
    const inputs = [{ shape: [3, 5] }, { shape: [3, 5] }];
    expect(checkDerivative({ op: pairDistanceOp, attrs, inputs })).toBeLessThan(1e-6);
  });
  for (const [N, C] of [[1, 1], [5, 3], [64, 64], [65, 63], [3, 1000], [2, 4097]] as const) {
    test(`pair_distance, ${name}: [${N}, ${C}]`, async () => {
      const rows = { shape: [N, C] }, one = { shape: [N] };
      await checkKernel({ op: pairDistanceOp, attrs, inputs: [rows, rows] }, { bound: bound(C) });
      const far = { shape: [N], data: Array.from({ length: N }, (_, n) => n % 3) };
      await checkKernel({ op: pairDistanceBackward, attrs, inputs: [one, far, rows, rows] });
    });
  }
  test(`pair_distance, ${name}: folded grids, several subgroups`, async () => {
    const rows = { shape: [65, 500] };
    for (const op of [folded(pairDistanceOp), onHardware(pairDistanceOp)]) {
      await checkKernel({ op, attrs, inputs: [rows, rows] }, { bound: bound(500) });
    }
    const inputs = [{ shape: [65] }, { shape: [65] }, rows, rows];
    await checkKernel({ op: folded(pairDistanceBackward), attrs, inputs });
  });
}
test("pair_distance: rows that are no pairs are named", () => {
  const inputs = [{ shape: [3, 5] }, { shape: [4, 5] }];
  expect(() => checkDerivative({ op: pairDistanceOp, attrs: ways[0]!, inputs })).toThrow(
    "are no pairs",
  );
});
