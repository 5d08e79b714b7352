import { Fail } from "../../src/base/fail.ts";
import type { Graph, Op } from "../../src/graph/graph.ts";
import { show, type Tensor } from "../../src/graph/tensor.ts";
import { numbers } from "../common/numbers.ts";
import advanceCode from "./advance.wgsl" with { type: "text" };
import placesCode from "./places.wgsl" with { type: "text" };

/** Where requests stand in a cache of pages: each may have `context` keys, in pages of `page`. */
export interface Paging {
  readonly context: number;
  readonly page: number;
}

const NONE = 0xffffffff;

/** [cursor u32[S,4], pages u32[S·context/page]] -> [ids, positions, rows u32[S], spans u32[S,2]]. */
export const placesOp: Op<Paging> = {
  name: "cursor_places",
  infer([cursor, pages], { context, page }) {
    const S = cursor!.shape[0]!;
    if (cursor!.shape[1] !== 4 || context % page !== 0 || pages!.shape[0] !== S * context / page) {
      throw new Fail(`cursor_places: ${show(pages!)} does not fit ${show(cursor!)}`);
    }
    return [[S], [S], [S], [S, 2]].map((shape) => ({ shape, dtype: "u32" }));
  },
  reference([cursor, pages], { context, page }, { inputs }) {
    const S = inputs[0]!.shape[0]!;
    const [ids, positions] = [new Float64Array(S), new Float64Array(S)];
    const rows = new Float64Array(S).fill(NONE), spans = new Float64Array(2 * S);
    for (let s = 0; s < S; s++) {
      const [id, at, left] = [0, 1, 2].map((i) => cursor![4 * s + i]!) as [number, number, number];
      if (left === 0) continue;
      const key = s * context + at;
      ids[s] = id;
      positions[s] = at;
      rows[s] = pages![Math.floor(key / page)]! * page + key % page;
      spans.set([s * context, key + 1], 2 * s);
    }
    return [ids, positions, rows, spans];
  },
  launch({ inputs, outputs, attrs: { context, page } }) {
    return [{
      shader: { kernel: { file: "kernels/cursor/places.wgsl", code: placesCode } },
      workgroups: [Math.ceil(inputs[0]!.shape[0]! / 64), 1, 1],
      bind: [...inputs, ...outputs, numbers(context, page)],
    }];
  },
};

/** [cursor u32[S,4], notes u32[S,N], drawn u32[S]] -> [cursor, notes], both in place. */
export const advanceOp: Op<null> = {
  name: "cursor_advance",
  updates: [0, 1],
  infer([cursor, notes, drawn]) {
    const S = cursor!.shape[0]!;
    if (cursor!.shape[1] !== 4 || notes!.shape[0] !== S || drawn!.shape[0] !== S) {
      throw new Fail(`cursor_advance: ${[cursor, notes, drawn].map((t) => show(t!)).join(", ")}`);
    }
    return [cursor!, notes!];
  },
  reference([cursor, notes, drawn], _attrs, { inputs }) {
    const [S, N] = inputs[1]!.shape as [number, number];
    const after = cursor!.slice(), noted = notes!.slice();
    for (let s = 0; s < S; s++) {
      if (cursor![4 * s + 2] === 0) continue;
      const next = cursor![4 * s + 1]! + 1;
      noted[s * N + next % N] = drawn![s]!;
      after.set([drawn![s]!, next, cursor![4 * s + 2]! - 1], 4 * s);
    }
    return [after, noted];
  },
  launch({ inputs: [cursor, notes, drawn] }) {
    return [{
      shader: { kernel: { file: "kernels/cursor/advance.wgsl", code: advanceCode } },
      workgroups: [Math.ceil(cursor!.shape[0]! / 64), 1, 1],
      bind: [drawn!, cursor!, notes!],
    }];
  },
};

/** What one decoding step reads, of requests that stand at `cursor`; all are u32. */
export function places(
  g: Graph,
  cursor: Tensor,
  pages: Tensor,
  paging: Paging,
): Record<"ids" | "positions" | "rows" | "spans", Tensor> {
  const [ids, positions, rows, spans] = g.add(placesOp, [cursor, pages], paging);
  return { ids: ids!, positions: positions!, rows: rows!, spans: spans! };
}

/** Moves requests on by the tokens drawn for them, u32[S], and notes these at their positions modulo N. */
export function advance(g: Graph, cursor: Tensor, notes: Tensor, drawn: Tensor): void {
  g.add(advanceOp, [cursor, notes, drawn], null);
}
