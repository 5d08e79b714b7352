import { Fail } from "../base/fail.ts";
import { revolve } from "../base/revolve.ts";
import type { Block, Graph, Node, Op } from "./graph.ts";
import { count, show, type Tensor } from "./tensor.ts";

/** What a chain of blocks keeps from the forward pass for the backward pass. */
export interface Checkpoints {
  /** How many blocks, from the last one, keep all their values: nothing of them is computed again. */
  readonly whole: number;
  /**
   * How many results of the other blocks may be held at one time, beside what the first block was
   * given. Blocks between two that are held are computed again from the nearest one before.
   */
  readonly held: number;
}

export interface Derivation {
  /** The op that adds two gradients of one tensor. */
  readonly sum: Op<null>;
  /** Called once for every contribution to a trained tensor's gradient, as soon as it is recorded. */
  readonly trained: (tensor: Tensor, gradient: Tensor) => void;
  /** What blocks keep for the backward pass; everything when absent. */
  readonly keep?: Checkpoints;
}

/**
 * Appends to `g` the nodes that compute d(loss)/d(tensor) for every trained tensor, in reverse order of
 * recording. Blocks that do not keep their values are recorded again just before their own derivative
 * (Chen et al. 2016; Griewank and Walther 2000); what the copies do not need is left to `prune`. The
 * gradients have the same bits whatever is kept.
 * @throws Fail when `loss` is not a scalar
 */
export function backward(g: Graph, loss: Tensor, { sum, trained, keep }: Derivation): void {
  if (count(loss.shape) !== 1) throw new Fail(`backward needs a scalar loss, found ${show(loss)}`);
  const grads = new Map<Tensor, Tensor>(), origins = new Map<Tensor, Tensor>();
  /** What `t` is a copy of: gradients belong to the original, whichever copy was used. */
  const origin = (t: Tensor) => origins.get(t) ?? t;
  const give = (to: Tensor, grad: Tensor) => {
    if (to.home === "trained") return trained(to, grad);
    const sofar = grads.get(origin(to));
    grads.set(origin(to), sofar ? g.add(sum, [sofar, grad], null)[0]! : grad);
  };
  /** Derives nodes, which begin at `base` among their likes; blocks within are computed again. */
  const reverse = (nodes: readonly Node[], inside: readonly Block[] = [], base = 0) => {
    let end = nodes.length;
    for (const block of inside.toReversed()) {
      const from = block.start - base, to = block.end - base;
      derive(nodes.slice(to, end));
      reverse(again(nodes.slice(from, to), new Map()), block.inside, block.start);
      end = from;
    }
    derive(nodes.slice(0, end));
  };
  const derive = (nodes: readonly Node[]) => {
    const light = new Map<Tensor, Node>(), made = new Map<Tensor, Tensor>();
    for (const node of nodes.filter(({ op }) => op.light)) {
      for (const t of node.outputs) light.set(t, node);
    }
    /** The same numbers, made again at the first demand where that is cheaper than having kept them. */
    const fresh = (t: Tensor): Tensor => {
      const maker = light.get(t);
      if (maker && !made.has(t)) again([renew(maker)], made);
      return made.get(t) ?? t;
    };
    const renew = (node: Node) => ({ ...node, inputs: node.inputs.map(fresh) });
    for (const node of nodes.toReversed()) {
      const flowing = node.outputs.map((t) => grads.get(origin(t)));
      const wants = node.inputs.map((t) => t.needsGrad);
      for (const t of node.outputs) grads.delete(origin(t));
      if (!node.op.backward || !wants.includes(true) || !flowing.some(Boolean)) continue;
      const seen = node.op.light ? node : renew(node); // what light ops look at is kept anyhow
      const given = g.scope("d", () => node.op.backward!(g, seen, flowing, wants));
      given.forEach((grad, i) => grad && wants[i] && give(node.inputs[i]!, grad));
    }
  };
  /** Records nodes again, on top of the copies in `now`, and adds theirs to it. */
  const again = (nodes: readonly Node[], now: Map<Tensor, Tensor>): Node[] =>
    nodes.map((node) => {
      const outputs = g.add(node.op, node.inputs.map((t) => now.get(t) ?? t), node.attrs);
      node.outputs.forEach((t, i) => {
        now.set(t, outputs[i]!);
        origins.set(outputs[i]!, origin(t));
      });
      return g.nodes.at(-1)!;
    });

  const forward = g.nodes.slice(), blocks = g.blocks.slice();
  const chain = blocks.slice(0, Math.max(0, blocks.length - (keep?.whole ?? Infinity)));
  const starts = [...chain, blocks[chain.length]].map((block) => block?.start ?? forward.length);
  const nodesOf = ({ start, end }: Block) => forward.slice(start, end);
  /**
   * Reverses the blocks `from` to `to` of the chain, on top of the copies in `now`. There are none on the
   * first way: the forward pass has just been there, and its own results are held.
   */
  const sweep = (from: number, to: number, held: number, now?: Map<Tensor, Tensor>) => {
    if (to - from > 1) {
      const { step } = revolve(to - from, held), ahead = now && new Map(now);
      if (ahead) chain.slice(from, from + step).forEach((block) => again(nodesOf(block), ahead));
      sweep(from + step, to, Math.max(0, held - 1), ahead);
      return sweep(from, from + step, held, now ?? new Map());
    }
    const block = chain[from]!;
    derive(forward.slice(block.end, starts[to]));
    reverse(again(nodesOf(block), new Map(now)), block.inside, block.start);
  };

  give(loss, g.constant("one", loss.shape, Float32Array.of(1)));
  derive(forward.slice(starts.at(-1)));
  if (chain.length > 0) sweep(0, chain.length, keep?.held ?? 0);
  derive(forward.slice(0, starts[0]));
}
