import { expect, test } from "bun:test";
import { Graph } from "../../src/graph/graph.ts";
import { checkKernel } from "../check.ts";
import { advanceOp, places, placesOp } from "./cursor.ts";

const S = 67;
const cursor = Array.from({ length: S }, (_, s) => [s + 5, (s * 7) % 32, s % 3, 9]).flat();

test("places: rows in pages, and none where nothing is left to draw", async () => {
  const pages = Array.from({ length: S * 4 }, (_, i) => (i * 5 + 3) % (S * 4));
  await checkKernel({
    op: placesOp,
    attrs: { context: 32, page: 8 },
    inputs: [
      { shape: [S, 4], dtype: "u32", data: cursor },
      { shape: [S * 4], dtype: "u32", data: pages },
    ],
  });
});

test("advance: what is live moves on and is noted", async () => {
  await checkKernel({
    op: advanceOp,
    attrs: null,
    inputs: [
      { shape: [S, 4], dtype: "u32", data: cursor },
      { shape: [S, 8], dtype: "u32", data: new Uint32Array(S * 8).fill(77) },
      { shape: [S], dtype: "u32", data: Array.from({ length: S }, (_, s) => 1000 - s) },
    ],
  });
});

test("pages that do not fit are refused", () => {
  const g = new Graph(), at = g.input("cursor", [2, 4], "u32"), p = g.input("pages", [3], "u32");
  expect(() => places(g, at, p, { context: 16, page: 8 })).toThrow("does not fit");
});
