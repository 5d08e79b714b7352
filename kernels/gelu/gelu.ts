import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, type Tensor } from "../../src/graph/tensor.ts";
import { storage, stored } from "../common/stored.ts";
import { elementwise, wide } from "../common/wide.ts";
import codeBackward from "./gelu_backward.wgsl" with { type: "text" };
import code from "./gelu.wgsl" with { type: "text" };
import tail from "./tail.wgsl" with { type: "text" };

/** The normal distribution function, to about 1e-15: series of positive terms, far out a fraction. */
export function normalCdf(x: number): number {
  const a = Math.abs(x), density = Math.exp(-a * a / 2) / Math.sqrt(2 * Math.PI);
  if (a < 5) {
    let term = a, sum = a;
    for (let n = 3; term > sum * 1e-17; n += 2) sum += term *= a * a / n;
    return 0.5 + Math.sign(x) * density * sum;
  }
  let fraction = a;
  for (let k = 60; k > 0; k--) fraction = a + k / fraction;
  const beyond = a === Infinity ? 0 : density / fraction;
  return x < 0 ? beyond : 1 - beyond;
}
const density = (x: number) => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);

function launch(kernel: { file: string; code: string }, x: Tensor, bind: Tensor[]) {
  const made = elementwise(kernel, count(x.shape), bind);
  const parts = [
    wide(count(x.shape)),
    ...stored(x.dtype),
    { file: "kernels/gelu/tail.wgsl", code: tail },
  ];
  return [{ ...made, shader: { kernel, parts } }];
}

/** [x] -> [y]; see `gelu`. */
export const geluOp: Op<null> = {
  name: "gelu",
  inPlace: () => [[0, 0]],
  light: true,
  infer: ([x]) => [{ shape: x!.shape, dtype: storage("gelu", x!) }],
  reference: ([x]) => [x!.map((v) => v * normalCdf(v))],
  launch: ({ inputs: [x], outputs: [y] }) =>
    launch({ file: "kernels/gelu/gelu.wgsl", code }, x!, [x!, y!]),
  backward: (g, { inputs: [x] }, [dy]) => g.add(geluBackward, [dy!, x!], null),
};

/** [dy, x] -> [dx] */
export const geluBackward: Op<null> = {
  name: "gelu_backward",
  inPlace: () => [[0, 0], [0, 1]],
  infer: ([dy]) => [dy!],
  reference: ([dy, x]) => [
    dy!.map((d, i) => d * (normalCdf(x![i]!) + x![i]! * density(x![i]!))),
  ],
  launch: ({ inputs: [dy, x], outputs: [dx] }) =>
    launch({ file: "kernels/gelu/gelu_backward.wgsl", code: codeBackward }, x!, [dy!, x!, dx!]),
};

/**
 * y = x · (1 + erf(x/√2))/2, f32 or f16, any shape: GELU itself (Hendrycks and Gimpel 2016), "gelu" in
 * model configurations, of which `geluNew` is an approximation.
 */
export const gelu = (g: Graph, x: Tensor): Tensor => g.add(geluOp, [x], null)[0]!;
