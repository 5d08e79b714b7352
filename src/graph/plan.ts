import type { Node } from "./graph.ts";
import { bytesOf, storageOf, type Tensor } from "./tensor.ts";

/** Which buffer each computed value lives in. One slot is one GPUBuffer. */
export interface Plan {
  readonly nodes: readonly Node[];
  readonly slotOf: ReadonlyMap<Tensor, number>;
  readonly slotBytes: readonly number[];
  /** From the node that makes a value to the last that uses it. */
  readonly lives: ReadonlyMap<Tensor, Life>;
  /** The lower bound: bytes alive at the worst moment, while node `worst` runs. */
  readonly peakLive: number;
  readonly worst: number;
}

/** First and last node, by index. */
interface Life {
  readonly born: number;
  readonly dies: number;
}

/** The nodes that `keep`, or an update in place, depends on, in their order. */
export function prune(nodes: readonly Node[], keep: readonly Tensor[]): Node[] {
  const needed = new Set(keep), kept: Node[] = [];
  for (const node of nodes.toReversed()) {
    if (!node.op.updates && !node.outputs.some((t) => needed.has(t))) continue;
    kept.push(node);
    for (const t of node.inputs) needed.add(t);
  }
  return kept.reverse();
}

/**
 * Gives every computed value a slot; two values share one only when their lives do not meet. Largest
 * first, so that a slot never has to grow ("greedy by size", Pisarchyk and Lee 2020).
 *
 * Whole buffers, not offsets in one arena: WebGPU refuses a dispatch that reads and writes the same
 * GPUBuffer, even at disjoint ranges.
 * @param keep values that must still hold when the run is over
 */
export function plan(nodes: readonly Node[], keep: readonly Tensor[]): Plan {
  const lives = new Map<Tensor, { born: number; dies: number }>();
  nodes.forEach((node, i) => {
    for (const t of node.outputs) if (!t.storage) lives.set(t, { born: i, dies: i });
    for (const t of [...node.inputs, ...node.outputs]) {
      const life = lives.get(storageOf(t));
      if (life) life.dies = i;
    }
  });
  for (const t of keep) {
    const life = lives.get(storageOf(t));
    if (life) life.dies = nodes.length;
  }

  const slotOf = new Map<Tensor, number>(), slotBytes: number[] = [];
  const taken: Life[][] = [];
  for (const [t, life] of [...lives].sort(([a], [b]) => bytesOf(b) - bytesOf(a) || a.id - b.id)) {
    const clash = (other: Life) => life.born <= other.dies && other.born <= life.dies;
    let slot = taken.findLastIndex((lives) => !lives.some(clash)); // the last is the smallest
    if (slot < 0) {
      slot = slotBytes.push(bytesOf(t)) - 1;
      taken.push([]);
    }
    taken[slot]!.push(life);
    slotOf.set(t, slot);
  }

  const change = new Float64Array(nodes.length + 2);
  for (const [t, { born, dies }] of lives) {
    change[born]! += bytesOf(t);
    change[dies + 1]! -= bytesOf(t);
  }
  let live = 0, peakLive = 0, worst = 0;
  change.forEach((bytes, i) => {
    live += bytes;
    if (live > peakLive) [peakLive, worst] = [live, i];
  });
  return { nodes, slotOf, slotBytes, lives, peakLive, worst };
}
