import { gatherRows } from "../../kernels/gather_rows/gather_rows.ts";
import { matmul } from "../../kernels/matmul/matmul.ts";
import { softcap } from "../../kernels/softcap/softcap.ts";
import { headOf } from "../architectures/architecture.ts";
import { type Model, netOf } from "../architectures/model.ts";
import { PackedBatch } from "../architectures/packed.ts";
import { Graph } from "../graph/graph.ts";
import type { Memory } from "../graph/memory.ts";
import { Runner } from "../graph/runner.ts";
import { atRest, type Lora } from "../nn/net.ts";

/** Places of a text: after each of `at`, the model says what comes next. */
export interface Places {
  readonly ids: readonly number[];
  /** Ascending, each below ids.length - 1. */
  readonly at: readonly number[];
}

/** Logits read at once. */
const READ = 32;

/**
 * The logits after chosen places of texts, f32[vocabulary] each, in order; texts run one by one, so that
 * two models see exactly the same shapes.
 */
export async function* logitsAt(
  model: Model,
  memory: Memory,
  texts: readonly Places[],
  adapted: { lora?: Lora } = {},
): AsyncGenerator<Float32Array> {
  const { vocab } = model.sizes;
  const tokens = Math.max(...texts.map(({ ids }) => ids.length));
  const g = new Graph();
  const batch = new PackedBatch(g, model.sizes, { tokens, targets: READ });
  const net = netOf(model, g, { positions: tokens, lora: atRest(adapted.lora) });
  const { weight, bias, cap } = headOf(model, net);
  const h = gatherRows(g, batch.hidden(model, net), batch.map, batch.inverse);
  const plain = matmul(g, h, weight, { form: "nt", bias });
  const logits = cap === undefined ? plain : softcap(g, plain, cap);
  const runner = await Runner.prepare("logits", memory, g.nodes, [logits]);
  try {
    for (const { ids, at } of texts) {
      for (let from = 0; from < at.length; from += READ) {
        const some = new Set(at.slice(from, from + READ).map((t) => t + 1));
        const labels = ids.map((id, t) => some.has(t) ? id : -100);
        batch.fill(runner, [{ ids, labels }], 1);
        await runner.run();
        const read = await runner.read(logits);
        for (let i = 0; i < some.size; i++) yield read.slice(i * vocab, (i + 1) * vocab);
      }
    }
  } finally {
    runner.free();
  }
}

/** How far one prediction is from another. */
export interface Divergence {
  /** KL(p ‖ q) in nats, p the first; never below 0. */
  readonly kl: number;
  /** Whether both find the same token the likeliest. */
  readonly sameTop: boolean;
  /** |log p - log q| of the token that is the likeliest in p. */
  readonly top: number;
}

/** Compares two predictions given as logits, in float64. */
export function divergence(p: Float32Array, q: Float32Array): Divergence {
  const [lp, lq] = [logSum(p), logSum(q)];
  let kl = 0, best = 0, other = 0;
  for (let i = 0; i < p.length; i++) {
    const a = p[i]! - lp;
    kl += Math.exp(a) * (a - (q[i]! - lq));
    if (p[i]! > p[best]!) best = i;
    if (q[i]! > q[other]!) other = i;
  }
  const top = Math.abs(p[best]! - lp - (q[best]! - lq));
  return { kl: Math.max(0, kl), sameTop: best === other, top };
}

function logSum(x: Float32Array): number {
  const most = x.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (const v of x) sum += Math.exp(v - most);
  return most + Math.log(sum);
}
