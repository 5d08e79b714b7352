import { add } from "../../../kernels/add/add.ts";
import { splitRowsOp } from "../../../kernels/concat_rows/concat_rows.ts";
import { contrastive } from "../../../kernels/contrastive/contrastive.ts";
import { linearCrossEntropy } from "../../../kernels/linear_cross_entropy/linear_cross_entropy.ts";
import { normalise } from "../../../kernels/normalise/normalise.ts";
import { type Distance, pairDistance } from "../../../kernels/pair_distance/pair_distance.ts";
import { tripletHinge } from "../../../kernels/triplet_hinge/triplet_hinge.ts";
import type { TokenRow } from "../../architectures/packed.ts";
import { type Pooling, type Sentence, SentenceBatch } from "../../architectures/sentences.ts";
import type { Graph } from "../../graph/graph.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { Inputs, Objective } from "./objective.ts";

export const embedLosses = ["triplet", "mnr", "contrastive"] as const;
export const distances = ["cosine", "l2", "dot"] as const;

export interface EmbedOptions {
  /** triplet (Schroff et al. 2015), multiple negatives ranking (Henderson et al. 2017), contrastive. */
  readonly loss: (typeof embedLosses)[number];
  /** How far two embeddings are from each other: 1 - cosine, Euclidean, or minus their product. */
  readonly distance: (typeof distances)[number];
  /** By how much a negative must be farther, for triplet; how far it must be, for contrastive. */
  readonly margin?: number;
  /** What cosines are multiplied with before the softmax of mnr. */
  readonly scale: number;
  readonly pooling: Pooling;
}

/** A candidate that is not there: its exponential is 0. */
const ABSENT = -1e30;

/** Rows of one kind are a multiple of this, so that each kind can be bound. */
const up = (n: number) => Math.ceil(n / 64) * 64;

/** What a row may hold: texts of which the second, or the third, may be missing. */
type Kind = 0 | 1 | 2;

/** The texts of a row: anchor, positive, negative, as `texts` divides its ids. */
function textOf({ ids, texts = [] }: TokenRow, kind: Kind): Sentence | undefined {
  const { length, skip } = texts[kind] ?? { length: 0 };
  if (length === 0) return undefined;
  const from = texts.slice(0, kind).reduce((sum, text) => sum + text.length, 0);
  return { ids: Array.prototype.slice.call(ids, from, from + length), skip };
}
const has = ({ texts }: TokenRow, kind: Kind) => (texts?.[kind]?.length ?? 0) > 0;

/**
 * Contrastive training: the embedding of an anchor comes to lie nearer to that of its positive than to
 * that of its negative, or than to all others of the batch. A step's loss is the mean over its rows, for
 * contrastive over its pairs.
 */
export function embed(o: EmbedOptions): Objective {
  const pairs = (row: TokenRow) => Number(has(row, 1)) + Number(has(row, 2));
  return {
    kind: "embed",
    logged: [],
    likelihood: false,
    together: o.loss === "mnr",
    weight: o.loss === "contrastive" ? pairs : () => 1,
    record(model, net, { size }, trains) {
      const { g } = net, N = up(size.rows ?? 1), sentences = 3 * N;
      const batch = new SentenceBatch(g, model, { ...size, sentences }, o.pooling);
      const embeddings = batch.embeddings(net);
      const loss = o.loss === "mnr"
        ? ranking(g, embeddings, N, o, trains)
        : byDistance(g, embeddings, N, o);
      return {
        loss: loss.value,
        sums: loss.value,
        fill(inputs, rows, share) {
          if (rows.length > N) throw new Error(`${rows.length} rows in a batch for ${N}`);
          const places = Array.from({ length: sentences }, (_, i) => {
            const row = rows[i % N];
            return row && textOf(row, Math.floor(i / N) as Kind);
          });
          batch.fill(inputs, places);
          loss.fill(inputs, rows, share);
        },
      };
    },
  };
}

interface Loss {
  readonly value: Tensor;
  fill(inputs: Inputs, rows: readonly TokenRow[], share: number): void;
}

/** Rows of e f32[3N, C] in stretches. */
const split = (g: Graph, e: Tensor, rows: readonly number[]) => g.add(splitRowsOp, [e], { rows });

function byDistance(g: Graph, e: Tensor, N: number, o: EmbedOptions): Loss {
  const unit = o.distance === "cosine" ? normalise(g, e) : e;
  const how: Distance = o.distance === "l2"
    ? { kind: "l2" }
    : { kind: "dot", from: o.distance === "cosine" ? 1 : 0 };
  const [anchor, positive, negative] = split(g, unit, [N, N, N]);
  const near = pairDistance(g, anchor!, positive!, how);
  const far = pairDistance(g, anchor!, negative!, how);
  const weights = (kind: Kind, rows: readonly TokenRow[], share: number) =>
    Float32Array.from({ length: N }, (_, n) => rows[n] && has(rows[n], kind) ? share : 0);
  const { margin = 0 } = o;
  if (o.loss === "triplet") {
    const weight = g.input("row weights", [N], "f32");
    return {
      value: tripletHinge(g, near, far, weight, margin),
      fill: (inputs, rows, share) => inputs.write(weight, weights(2, rows, share)),
    };
  }
  const inputs = [1, 2].map((kind) => g.input(`pair weights ${kind}`, [N], "f32"));
  const same = (value: number) => g.constant(`same ${value}`, [N], new Float32Array(N).fill(value));
  const close = contrastive(g, near, same(1), inputs[0]!, margin);
  const apart = contrastive(g, far, same(0), inputs[1]!, margin);
  return {
    value: g.add(add, [close, apart], null)[0]!,
    fill(to, rows, share) {
      to.write(inputs[0]!, weights(1, rows, share));
      to.write(inputs[1]!, weights(2, rows, share));
    },
  };
}

/** Every anchor must find its positive among all positives and negatives of the batch. */
function ranking(g: Graph, e: Tensor, N: number, o: EmbedOptions, trains: boolean): Loss {
  const [anchors, candidates] = split(g, e, [N, 2 * N]), cosine = o.distance === "cosine";
  const labels = g.input("positive of anchor", [N], "u32");
  const weights = g.input("row weights", [N], "f32");
  const bias = g.input("candidates", [2 * N], "f32");
  const { loss } = linearCrossEntropy(g, {
    h: cosine ? normalise(g, anchors!, o.scale) : anchors!,
    w: cosine ? normalise(g, candidates!) : candidates!,
    bias,
    labels,
    weights,
    gradient: trains,
  });
  return {
    value: loss,
    fill(inputs, rows, share) {
      const there = (i: number) => {
        const row = rows[i % N];
        return row !== undefined && has(row, i < N ? 1 : 2);
      };
      inputs.write(labels, Uint32Array.from({ length: N }, (_, n) => rows[n] ? n : 0xffffffff));
      inputs.write(weights, Float32Array.from({ length: N }, (_, n) => rows[n] ? share : 0));
      inputs.write(bias, Float32Array.from({ length: 2 * N }, (_, i) => there(i) ? 0 : ABSENT));
    },
  };
}
