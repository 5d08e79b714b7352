import type { Node } from "../graph/graph.ts";
import type { Plan } from "../graph/plan.ts";
import { bytesOf, type Tensor } from "../graph/tensor.ts";

/**
 * One line a node: outputs, op, inputs; with a plan, the slot of every value, and what is alive at the
 * worst moment. For people.
 */
export function print(nodes: readonly Node[], plan?: Plan): string {
  const short = (t: Tensor) => t.home === "value" ? `%${t.id}` : t.name;
  const slot = (t: Tensor) => plan?.placeOf.has(t) ? `@${plan.placeOf.get(t)!.slot}` : "";
  const lines = nodes.map((node, i) => {
    const outputs = node.outputs.map((t) => `${short(t)}${slot(t)} ${t.dtype}[${t.shape}]`);
    const mib = node.outputs.reduce((sum, t) => sum + (t.storage ? 0 : bytesOf(t)), 0) / 2 ** 20;
    const attrs = node.attrs === null ? "" : ` ${JSON.stringify(node.attrs)}`;
    return `${String(i).padStart(5)}  ${outputs.join(", ")} = ${node.op.name}(${
      node.inputs.map(short).join(", ")
    })${attrs}  ${mib.toFixed(2)} MiB`;
  });
  if (plan) lines.push(`most is alive at ${plan.worst}:`, ...aliveAt(plan, plan.worst));
  return lines.join("\n");
}

/** What is alive while a node runs, largest first; values of equal making, type and shape on one line. */
function aliveAt({ nodes, lives }: Plan, at: number): string[] {
  const groups = new Map<string, { bytes: number; lives: string[] }>();
  for (const [t, { born, dies }] of lives) {
    if (born > at || dies < at) continue;
    const key = `${nodes[born]!.op.name} ${t.dtype}[${t.shape}]`;
    const group = groups.get(key) ?? { bytes: 0, lives: [] };
    group.bytes += bytesOf(t);
    group.lives.push(`${born}-${dies}`);
    groups.set(key, group);
  }
  return [...groups].sort(([, a], [, b]) => b.bytes - a.bytes).map(([key, { bytes, lives }]) =>
    `${(bytes / 2 ** 20).toFixed(2).padStart(10)} MiB  ${lives.length} x ${key}  ${lives.join(" ")}`
  );
}
