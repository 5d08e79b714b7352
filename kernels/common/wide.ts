import type { Launch } from "../../src/graph/graph.ts";
import type { DType } from "../../src/graph/tensor.ts";
import type { Source } from "../../src/gpu/link.ts";
import { grid } from "./grid.ts";
import { stored } from "./stored.ts";
import vec1 from "./vec1.wgsl" with { type: "text" };
import vec4 from "./vec4.wgsl" with { type: "text" };

/** The part that defines Vec, total and WIDTH for rows of `n` elements: four at a time where it fits. */
export function wide(n: number): Source {
  return n % 4 === 0
    ? { file: "kernels/common/vec4.wgsl", code: vec4 }
    : { file: "kernels/common/vec1.wgsl", code: vec1 };
}

/**
 * The launch of a kernel that works element by element on n numbers, one Vec a lane and 64 lanes a
 * workgroup. It takes n from its bindings, so that one pipeline serves every n.
 * @param activations how the tensors are stored that the kernel reads with widened and writes with narrowed
 */
export function elementwise(
  kernel: Source,
  n: number,
  bind: Launch["bind"],
  activations?: DType,
): Launch {
  return {
    shader: { kernel, parts: [wide(n), ...(activations ? stored(activations) : [])] },
    workgroups: grid(Math.ceil(n / (n % 4 === 0 ? 256 : 64))),
    bind,
  };
}
