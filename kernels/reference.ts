import type { Node } from "../src/graph/graph.ts";
import { count, show, type Tensor } from "../src/graph/tensor.ts";

/**
 * Runs a record in float64 on the CPU. Slow and right: what every kernel is compared with.
 * @param given values of everything that is not computed, row-major; constants may be left out
 * @returns all values, `given` included
 */
export function runReference(
  nodes: readonly Node[],
  given: ReadonlyMap<Tensor, Float64Array>,
): Map<Tensor, Float64Array> {
  const values = new Map(given);
  const value = (t: Tensor) => {
    if (!values.has(t) && t.data) values.set(t, Float64Array.from(t.data));
    const found = values.get(t);
    if (!found) throw new Error(`no value was given for ${show(t)}`);
    return found;
  };
  for (const node of nodes) {
    const out = node.op.reference(node.inputs.map(value), node.attrs, node);
    node.outputs.forEach((t, i) => {
      if (out[i]?.length !== count(t.shape)) {
        throw new Error(
          `${node.op.name}: the reference gave ${out[i]?.length} numbers for ${show(t)}`,
        );
      }
      values.set(t, out[i]!);
    });
  }
  return values;
}
