import { embed } from "../../kernels/embedding/embedding.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Stream } from "./attention.ts";
import type { Net } from "./net.ts";

/** x f32[T, C]: the rows of the table w that the stream's tokens name, and what the caller does to them. */
export function embedded({ g }: Net, w: Tensor, { ids, sorted, noise }: Stream): Tensor {
  const x = embed(g, w, ids, sorted);
  return noise ? noise(x) : x;
}
