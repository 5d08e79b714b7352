import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { count, show, type Tensor } from "../../src/graph/tensor.ts";
import { storage } from "../common/stored.ts";
import { elementwise } from "../common/wide.ts";
import code from "./concat_rows.wgsl" with { type: "text" };

/** Every part but the last has a multiple of this many rows, so that each can be bound. */
const ALIGNED = 64;

/** Parts f32[rows, C] -> [y]; see `concatRows`. */
export const concatRowsOp: Op<null> = {
  name: "concat_rows",
  infer(parts) {
    const C = parts[0]!.shape[1]!, rows = parts.map((t) => t.shape[0]!);
    const fits = parts.every((t) => t.shape.length === 2 && t.shape[1] === C && t.dtype === "f32");
    if (!fits || rows.slice(0, -1).some((n) => n % ALIGNED !== 0)) {
      throw new Fail(`concat_rows: ${parts.map(show).join(", ")} do not fit under each other`);
    }
    return [{ shape: [rows.reduce((a, b) => a + b, 0), C], dtype: "f32" }];
  },
  reference(parts, _attrs, { outputs: [y] }) {
    const all = new Float64Array(count(y!.shape));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return [all];
  },
  launch({ inputs: parts, outputs: [y] }) {
    const kernel = { file: "kernels/concat_rows/concat_rows.wgsl", code };
    let at = 0;
    return parts.map((part) => {
      const n = count(part.shape), stretch = { tensor: y!, offset: at, shape: part.shape };
      at += n;
      return elementwise(kernel, n, [part, stretch]);
    });
  },
  backward(g, { inputs }, [dy]) {
    return g.add(splitRowsOp, [dy!], { rows: inputs.map((t) => t.shape[0]!) });
  },
};

/** [x f32 or f16[T, C]] -> stretches of x; no bytes move. See `splitRows`. */
export const splitRowsOp: Op<{ readonly rows: readonly number[] }> = {
  name: "split_rows",
  light: true,
  splits: true,
  infer([x], { rows }) {
    const [T, C] = x!.shape as [number, number];
    const fits = x!.shape.length === 2 && rows.reduce((a, b) => a + b, 0) === T;
    if (!fits || rows.slice(0, -1).some((n) => n % ALIGNED !== 0)) {
      throw new Fail(`split_rows: ${show(x!)} does not part into ${rows.join(" + ")} rows`);
    }
    const dtype = storage("split_rows", x!);
    return rows.map((n) => ({ shape: [n, C], dtype }));
  },
  reference([x], { rows }, { inputs }) {
    let at = 0;
    return rows.map((n) => x!.slice(at, at += n * inputs[0]!.shape[1]!));
  },
  launch: () => [],
  backward(g, { inputs: [x] }, given) {
    if (given.includes(undefined)) {
      throw new Fail(`split_rows: a part of ${show(x!)} has no gradient`);
    }
    return g.add(concatRowsOp, given as Tensor[], null);
  },
};

/** y f32[rows, C]: the parts f32[…, C] under each other. All but the last have a multiple of 64 rows. */
export const concatRows = (g: Graph, parts: readonly Tensor[]): Tensor =>
  g.add(concatRowsOp, parts, null)[0]!;

/**
 * Stretches of x[T, C], f32 or f16, of at most `rows` rows, a multiple of 64; nothing is copied. Every part must
 * be used where a gradient is wanted.
 */
export function splitRows(g: Graph, x: Tensor, rows: number): Tensor[] {
  const parts = Array.from(
    { length: Math.ceil(x.shape[0]! / rows) },
    (_, i) => Math.min(rows, x.shape[0]! - i * rows),
  );
  return g.add(splitRowsOp, [x], { rows: parts });
}
