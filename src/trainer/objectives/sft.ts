import { PackedBatch, type TokenRow } from "../../architectures/packed.ts";
import type { Objective } from "./objective.ts";

/** Supervised fine-tuning: the mean negative log-likelihood of the supervised tokens, by their weights. */
export const sft: Objective = {
  kind: "sft",
  logged: [],
  likelihood: true,
  weight({ labels, weights }) {
    let sum = 0;
    for (let t = 1; t < labels.length; t++) if (labels[t] !== -100) sum += weights?.[t] ?? 1;
    return sum;
  },
  record(model, net, { size, neftune, smoothing }, trains) {
    const batch = new PackedBatch(net.g, model.sizes, size);
    const hidden = batch.hidden(model, net, trains ? neftune : undefined);
    const { loss } = batch.loss(model, net, hidden, trains, trains ? smoothing : undefined);
    return {
      loss,
      sums: loss,
      fill: (inputs, rows, share) => void batch.fill(inputs, rows, share),
    };
  },
};

/** Tokens of a row that the model is asked to predict; the first has nothing before it. */
export function supervised(row: TokenRow): number {
  let n = 0;
  for (let t = 1; t < row.labels.length; t++) if (row.labels[t] !== -100) n++;
  return n;
}
