import { concatRows, splitRows } from "../../kernels/concat_rows/concat_rows.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Net } from "./net.ts";

/**
 * body(x) for a `body` that works row by row and has values as wide as `width` inside: done for some rows
 * of x f32[T, C] after the others, so that no such value takes more than `net.chunk` bytes, neither
 * forward nor backward. A gradient of a weight is the sum over the chunks, in order.
 */
export function inChunks(net: Net, x: Tensor, width: number, body: (x: Tensor) => Tensor): Tensor {
  const T = x.shape[0]!, chunks = Math.ceil(4 * T * width / net.chunk);
  const rows = 64 * Math.ceil(T / chunks / 64);
  if (rows >= T) return body(x);
  const parts = splitRows(net.g, x, rows);
  return concatRows(net.g, parts.map((part) => net.g.block("", () => body(part))));
}
