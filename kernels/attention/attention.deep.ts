import { test } from "bun:test";
import { checkAttention, type Size } from "./testing.ts";

const sizes: Size[] = [
  { H: 1, KV: 1, D: 1, segments: [130] },
  { H: 1, KV: 1, D: 37, segments: [17] },
  { H: 3, KV: 1, D: 5, segments: [7, -3, 63] },
  { H: 2, KV: 1, D: 64, segments: [300, 20] },
  { H: 2, KV: 1, D: 80, segments: [31, -2] },
  { H: 2, KV: 2, D: 128, segments: [20, 20] },
  { H: 1, KV: 1, D: 256, segments: [33] },
];
for (const size of sizes) {
  test(`attention, both ways: ${JSON.stringify(size)}`, () => checkAttention(size), 600_000);
}
