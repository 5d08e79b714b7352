import type { Node } from "./graph.ts";
import type { Plan } from "./plan.ts";
import { bytesOf, type Tensor } from "./tensor.ts";

/** One line a node: outputs, op, inputs; with a plan, the slot of every value. For people. */
export function print(nodes: readonly Node[], plan?: Plan): string {
  const short = (t: Tensor) => t.home === "value" ? `%${t.id}` : t.name;
  const slot = (t: Tensor) => plan?.slotOf.has(t) ? `@${plan.slotOf.get(t)}` : "";
  return nodes.map((node, i) => {
    const outputs = node.outputs.map((t) => `${short(t)}${slot(t)} ${t.dtype}[${t.shape}]`);
    const mib = node.outputs.reduce((sum, t) => sum + (t.storage ? 0 : bytesOf(t)), 0) / 2 ** 20;
    const attrs = node.attrs === null ? "" : ` ${JSON.stringify(node.attrs)}`;
    return `${String(i).padStart(5)}  ${outputs.join(", ")} = ${node.op.name}(${
      node.inputs.map(short).join(", ")
    })${attrs}  ${mib.toFixed(2)} MiB`;
  }).join("\n");
}
