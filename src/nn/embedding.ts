import { embed } from "../../kernels/embedding/embedding.ts";
import { scale } from "../../kernels/scale/scale.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Stream } from "./attention.ts";
import type { Net } from "./net.ts";

/**
 * x f32[T, C]: the rows of the table w that the stream's tokens name, times `factor`, and what the caller
 * does to them.
 */
export function embedded(
  { g }: Net,
  w: Tensor,
  { ids, sorted, noise }: Stream,
  factor = 1,
): Tensor {
  const rows = embed(g, w, ids, sorted);
  const x = scale(g, rows, g.constant("embedding_scale", [1], Float32Array.of(factor)));
  return noise ? noise(x) : x;
}
