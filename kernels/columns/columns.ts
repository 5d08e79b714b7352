import { Fail } from "../../src/base/fail.ts";
import type { Graph, Launch, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { grid } from "../common/grid.ts";
import { numbers } from "../common/numbers.ts";
import { storage, stored } from "../common/stored.ts";
import code from "./columns.wgsl" with { type: "text" };

type Widths = readonly number[];

/** Where each part begins, and after the last one where the whole ends. */
const offsets = (widths: Widths): number[] =>
  widths.reduce((at, width) => [...at, at.at(-1)! + width], [0]);

/** One copy a part, between columns [from, from + width) of the whole and the part. */
function copies(whole: Tensor, parts: readonly Tensor[], widths: Widths, split: boolean): Launch[] {
  const fours = [...widths, whole.shape[1]!].every((width) => width % 4 === 0);
  const wide = fours ? 4 : 1, stride = whole.shape[1]! / wide;
  return parts.map((part, i) => {
    const width = widths[i]! / wide,
      from = offsets(widths)[i]! / wide,
      n = count(part.shape) / wide;
    const [x, y] = split ? [whole, part] : [part, whole];
    return {
      shader: {
        kernel: { file: "kernels/columns/columns.wgsl", code },
        parts: stored(x.dtype),
        alias: { Vec: fours ? "vec4f" : "f32" },
      },
      workgroups: grid(Math.ceil(n / 64)),
      bind: [
        x,
        y,
        split
          ? numbers(n, width, stride, from, width, 0)
          : numbers(n, width, width, 0, stride, from),
      ],
    };
  });
}

/** [x[T, N]] -> [[T, N₀], [T, N₁], …]; see `splitColumns`. */
export const splitColumnsOp: Op<{ readonly widths: Widths }> = {
  name: "split_columns",
  infer([x], { widths }) {
    const [T, N] = x!.shape as [number, number];
    if (x!.shape.length !== 2 || offsets(widths).at(-1) !== N || widths.some((n) => !(n > 0))) {
      throw new Fail(`split_columns: ${show(x!)} has other columns than ${widths.join(" + ")}`);
    }
    const dtype = storage("split_columns", x!);
    if (dtype === "f16" && widths.some((width) => width % 4 !== 0)) {
      throw new Fail(`split_columns: f16 parts must be whole fours, found ${widths.join(", ")}`);
    }
    return widths.map((width) => ({ shape: [T, width], dtype }));
  },
  reference([x], { widths }, { inputs }) {
    const N = inputs[0]!.shape[1]!, at = offsets(widths);
    return widths.map((width, i) =>
      Float64Array.from(
        { length: x!.length / N * width },
        (_, n) => x![Math.floor(n / width) * N + at[i]! + n % width]!,
      )
    );
  },
  launch: ({ inputs: [x], outputs, attrs }) => copies(x!, outputs, attrs.widths, true),
  backward(g, { outputs, attrs }, douts) {
    const missing = outputs.find((_, i) => !douts[i]);
    if (missing) throw new Fail(`split_columns: ${show(missing)} has no gradient`);
    return g.add(joinColumnsOp, douts as Tensor[], attrs);
  },
};

/** [[T, N₀], [T, N₁], …] -> [x[T, N]], all f32: the gradient of a split. */
export const joinColumnsOp: Op<{ readonly widths: Widths }> = {
  name: "join_columns",
  infer: ([first], { widths }) => [
    { shape: [first!.shape[0]!, offsets(widths).at(-1)!], dtype: "f32" },
  ],
  reference(parts, { widths }) {
    const at = offsets(widths), N = at.at(-1)!, T = parts[0]!.length / widths[0]!;
    const x = new Float64Array(T * N);
    parts.forEach((part, i) =>
      part.forEach((v, n) => {
        x[Math.floor(n / widths[i]!) * N + at[i]! + n % widths[i]!] = v;
      })
    );
    return [x];
  },
  launch: ({ inputs, outputs: [x], attrs }) => copies(x!, inputs, attrs.widths, false),
};

/**
 * x[T, N] cut into columns of these widths, f32 or f16: what one product gives for several layers at once.
 * @throws Fail when the widths do not add up to N
 */
export const splitColumns = (g: Graph, x: Tensor, widths: Widths): Tensor[] =>
  g.add(splitColumnsOp, [x], { widths });
