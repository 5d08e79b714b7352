/** Measures of finding: every query ranks the whole corpus by how near it lies. */

/** How near two embeddings are, more being nearer. */
export type Nearness = "cosine" | "l2" | "dot";

export interface Search {
  readonly queries: readonly Float32Array[];
  readonly corpus: readonly Float32Array[];
  /** For each query, the places in the corpus of all that it should find; at least one. */
  readonly relevant: readonly (readonly number[])[];
}

/**
 * recall@1, recall@5, recall@10: the share of what is relevant among the first k, mean over queries.
 * mrr@10: one over the rank of the first relevant one, 0 below rank 10. ndcg@10: discounted gain over the
 * best possible (Järvelin and Kekäläinen 2002). Of equally near ones those that are not relevant come
 * first, so that embeddings that are all alike find nothing.
 */
export function searchMeasures({ queries, corpus, relevant }: Search, by: Nearness = "cosine") {
  const near = nearness(by), sums = { "recall@1": 0, "recall@5": 0, "recall@10": 0 };
  let mrr = 0, ndcg = 0;
  queries.forEach((query, q) => {
    const wanted = new Set(relevant[q]!);
    const scores = corpus.map((text) => near(query, text));
    const order = [...scores.keys()].sort((a, b) =>
      scores[b]! - scores[a]! || Number(wanted.has(a)) - Number(wanted.has(b)) || a - b
    );
    const found = order.slice(0, 10).map((place) => wanted.has(place));
    for (const [name, k] of [["recall@1", 1], ["recall@5", 5], ["recall@10", 10]] as const) {
      sums[name] += found.slice(0, k).filter(Boolean).length / wanted.size;
    }
    const first = found.indexOf(true);
    if (first >= 0) mrr += 1 / (first + 1);
    const gain = (rank: number) => 1 / Math.log2(rank + 2);
    const got = found.reduce((sum, hit, rank) => sum + (hit ? gain(rank) : 0), 0);
    let best = 0;
    for (let rank = 0; rank < Math.min(10, wanted.size); rank++) best += gain(rank);
    ndcg += got / best;
  });
  const n = queries.length;
  return {
    "recall@1": sums["recall@1"] / n,
    "recall@5": sums["recall@5"] / n,
    "recall@10": sums["recall@10"] / n,
    "mrr@10": mrr / n,
    "ndcg@10": ndcg / n,
  };
}

/** The share of triplets whose anchor lies nearer to the positive than to the negative. */
export function tripletAccuracy(
  triplets: readonly (readonly [Float32Array, Float32Array, Float32Array])[],
  by: Nearness = "cosine",
): number {
  const near = nearness(by);
  return triplets.filter(([a, p, n]) => near(a, p) > near(a, n)).length / triplets.length;
}

/** Measures of finding by name, and of telling apart: see `searchMeasures` and `tripletAccuracy`. */
export type Found = Partial<ReturnType<typeof searchMeasures>> & { readonly accuracy?: number };

/**
 * Finds each anchor's positives among all texts of the rows; of rows with a negative, how many positives
 * are nearer.
 * @param rows anchor, positive and negative as places among `made`; undefined where a row has none
 */
export function found(
  rows: readonly (readonly (number | undefined)[])[],
  made: readonly Float32Array[],
  by: Nearness = "cosine",
): Found {
  const relevant = new Map<number, Set<number>>(), corpus = new Set<number>();
  for (const [anchor, positive, negative] of rows) {
    for (const text of [positive, negative]) if (text !== undefined) corpus.add(text);
    if (positive === undefined) continue;
    relevant.set(anchor!, (relevant.get(anchor!) ?? new Set()).add(positive));
  }
  const order = [...corpus], at = new Map(order.map((place, i) => [place, i]));
  const measures = relevant.size === 0 ? {} : searchMeasures({
    queries: [...relevant.keys()].map((place) => made[place]!),
    corpus: order.map((place) => made[place]!),
    relevant: [...relevant.values()].map((texts) => [...texts].map((place) => at.get(place)!)),
  }, by);
  const triplets = rows.flatMap(([a, p, n]) =>
    p === undefined || n === undefined ? [] : [[made[a!]!, made[p]!, made[n]!] as const]
  );
  return triplets.length === 0
    ? measures
    : { ...measures, accuracy: tripletAccuracy(triplets, by) };
}

function nearness(by: Nearness): (a: Float32Array, b: Float32Array) => number {
  const dot = (a: Float32Array, b: Float32Array) => {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
    return sum;
  };
  if (by === "dot") return dot;
  if (by === "cosine") {
    const lengths = new Map<Float32Array, number>();
    const length = (v: Float32Array) => {
      const known = lengths.get(v) ?? Math.sqrt(dot(v, v));
      lengths.set(v, known);
      return known;
    };
    return (a, b) => dot(a, b) / Math.max(length(a) * length(b), 1e-30);
  }
  return (a, b) => {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
    return -sum;
  };
}
