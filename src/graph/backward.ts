import { Fail } from "../base/fail.ts";
import type { Graph, Node, Op } from "./graph.ts";
import { count, show, type Tensor } from "./tensor.ts";

export interface Derivation {
  /** The op that adds two gradients of one tensor. */
  readonly sum: Op<null>;
  /** Called once for every contribution to a trained tensor's gradient, as soon as it is recorded. */
  readonly trained: (tensor: Tensor, gradient: Tensor) => void;
}

/**
 * Appends to `g` the nodes that compute d(loss)/d(tensor) for every trained tensor, in reverse order of
 * recording. Blocks are recorded again just before their own derivative, so their values need not live
 * from the forward to the backward pass; what the copies do not need is left to `prune`.
 * @throws Fail when `loss` is not a scalar
 */
export function backward(g: Graph, loss: Tensor, { sum, trained }: Derivation): void {
  if (count(loss.shape) !== 1) throw new Fail(`backward needs a scalar loss, found ${show(loss)}`);
  const grads = new Map<Tensor, Tensor>();
  const give = (to: Tensor, grad: Tensor) => {
    if (to.home === "trained") return trained(to, grad);
    const sofar = grads.get(to);
    grads.set(to, sofar ? g.add(sum, [sofar, grad], null)[0]! : grad);
  };
  const reverse = (nodes: readonly Node[]) => {
    for (const node of nodes.toReversed()) {
      const flowing = node.outputs.map((t) => grads.get(t));
      const wants = node.inputs.map((t) => t.needsGrad);
      for (const t of node.outputs) grads.delete(t);
      if (!node.op.backward || !wants.includes(true) || !flowing.some(Boolean)) continue;
      const given = g.scope("d", () => node.op.backward!(g, node, flowing, wants));
      given.forEach((grad, i) => grad && wants[i] && give(node.inputs[i]!, grad));
    }
  };

  const forward = g.nodes.slice();
  const blocks = g.blocks.toSorted((a, b) => a.start - b.start);
  give(loss, g.constant("one", loss.shape, Float32Array.of(1)));
  for (let end = forward.length; end > 0;) {
    const block = blocks.at(-1);
    if (!block || block.end < end) {
      const start = block ? block.end : 0;
      reverse(forward.slice(start, end));
      end = start;
      continue;
    }
    blocks.pop();
    const again = new Map<Tensor, Tensor>();
    const copies = forward.slice(block.start, end).map((node) => {
      const outputs = g.add(node.op, node.inputs.map((t) => again.get(t) ?? t), node.attrs);
      node.outputs.forEach((t, i) => again.set(t, outputs[i]!));
      return g.nodes.at(-1)!;
    });
    const grad = grads.get(block.result);
    grads.delete(block.result);
    if (grad) give(again.get(block.result)!, grad);
    reverse(copies);
    end = block.start;
  }
}
