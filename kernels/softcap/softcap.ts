import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, type Tensor } from "../../src/graph/tensor.ts";
import { capped, capping } from "../common/cap.ts";
import { onlyF32 } from "../common/stored.ts";
import { elementwise } from "../common/wide.ts";
import code from "./softcap.wgsl" with { type: "text" };

/** [x] -> [y]; see `softcap`. It serves generation and has no backward pass. */
export const softcapOp: Op<{ readonly cap: number }> = {
  name: "softcap",
  inPlace: () => [[0, 0]],
  infer([x]) {
    onlyF32("softcap", x!);
    return [x!];
  },
  reference: ([x], { cap }) => [x!.map((v) => capped(v, cap))],
  launch({ inputs: [x], outputs: [y], attrs: { cap } }) {
    const n = count(y!.shape), { part, constants } = capping(cap);
    const kernel = { file: "kernels/softcap/softcap.wgsl", code };
    const launch = elementwise(kernel, n, [x!, y!]);
    const alias = { Scores: n % 4 === 0 ? "vec4f" : "f32" };
    const parts = [...launch.shader.parts!, part];
    return [{ ...launch, shader: { ...launch.shader, parts, constants, alias } }];
  },
};

/** y = cap · tanh(x / cap), f32, any shape: logits that stay within ±cap, as in Gemma 2. */
export const softcap = (g: Graph, x: Tensor, cap: number): Tensor =>
  g.add(softcapOp, [x], { cap })[0]!;
