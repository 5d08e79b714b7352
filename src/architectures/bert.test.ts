import { expect, test } from "bun:test";
import { noise } from "../../kernels/check.ts";
import { add } from "../../kernels/add/add.ts";
import { runReference } from "../../kernels/reference.ts";
import { backward } from "../graph/backward.ts";
import { Graph } from "../graph/graph.ts";
import { count, type Tensor } from "../graph/tensor.ts";
import { Net } from "../nn/net.ts";
import { embed, type EmbedOptions } from "../trainer/objectives/embed.ts";
import { type Model, specOf } from "./model.ts";

const config = {
  model_type: "bert",
  vocab_size: 12,
  hidden_size: 8,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  intermediate_size: 12,
  max_position_embeddings: 16,
  type_vocab_size: 2,
};

/** A record of one batch in float64, its inputs and random weights. */
function recorded(json: Record<string, unknown>, options: EmbedOptions) {
  const spec = specOf(json), g = new Graph(), given = new Map<Tensor, Float64Array>();
  const net = new Net(g, 16, () => "f32", true);
  const size = { tokens: 64, targets: 64, rows: 2 };
  const forward = embed(options).record(
    spec as Model,
    net,
    { size, positions: 16, full: true },
    true,
  );
  const rows = [[[1, 5, 2], [1, 7, 7, 2], [1, 3, 2]], [[1, 9, 4, 2], [1, 8, 2], [1, 6, 10, 2]]];
  const write = (t: Tensor, data: ArrayLike<number>) => given.set(t, Float64Array.from(data));
  forward.fill(
    { reads: () => true, write },
    rows.map((parts) => ({
      ids: parts.flat(),
      labels: [],
      texts: parts.map(({ length }) => ({ length })),
    })),
    1 / 2,
  );
  for (const t of g.all("constant")) given.set(t, Float64Array.from(t.data!));
  for (const t of g.all("trained")) {
    const next = noise(t.name.length * 7919 + count(t.shape)),
      gain = t.name.endsWith("Norm.weight");
    given.set(t, Float64Array.from({ length: count(t.shape) }, () => next() * 0.5 + Number(gain)));
  }
  return { g, given, loss: forward.loss };
}

const ways: EmbedOptions[] = [
  { loss: "triplet", distance: "l2", margin: 50, scale: 20, pooling: "mean" },
  { loss: "triplet", distance: "cosine", margin: 2.5, scale: 20, pooling: "cls" },
  { loss: "triplet", distance: "dot", margin: 90, scale: 20, pooling: "mean_sqrt_len" },
  { loss: "mnr", distance: "cosine", margin: 1, scale: 5, pooling: "mean" },
  { loss: "contrastive", distance: "cosine", margin: 1.9, scale: 1, pooling: "last" },
];
for (const options of ways) {
  const { loss, distance, pooling } = options;
  test(`every weight's gradient, ${loss} by ${distance} of ${pooling}: as differences have it`, () => {
    const { g, given, loss: value } = recorded(config, options), forward = g.nodes.slice();
    const gradients = new Map<Tensor, Tensor>();
    backward(g, value, {
      sum: add,
      trained(t, gradient) {
        const sofar = gradients.get(t);
        gradients.set(t, sofar ? g.add(add, [sofar, gradient], null)[0]! : gradient);
      },
    });
    const all = runReference(g.nodes, given);
    const lossAt = () => runReference(forward, given).get(value)![0]!;
    for (const t of g.all("trained")) {
      const gradient = all.get(gradients.get(t)!)!, at = given.get(t)!;
      // The largest, and one of the first: for tables those are words, places and types in use.
      const largest = gradient.reduce((a, v, i) => Math.abs(v) > Math.abs(gradient[a]!) ? i : a, 0);
      for (const i of [largest, Math.floor(at.length / 3)]) {
        const keep = at[i]!, h = 1e-5;
        at[i] = keep + h;
        const more = lossAt();
        at[i] = keep - h;
        const numeric = (more - lossAt()) / (2 * h);
        at[i] = keep;
        expect(Math.abs(gradient[i]! - numeric), `${t.name}[${i}]`)
          .toBeLessThan(1e-6 * Math.max(1, Math.abs(numeric)));
      }
    }
  });
}

test("RoBERTa's positions begin after the padding id", () => {
  const options = ways[0]!;
  const bert = recorded(config, options);
  const other = {
    ...config,
    model_type: "xlm-roberta",
    pad_token_id: 1,
    max_position_embeddings: 18,
  };
  const roberta = recorded(other, options);
  const table = (r: typeof bert) =>
    r.g.all("trained").find(({ name }) => name.includes("position_embeddings"))!;
  for (const t of roberta.g.all("trained")) {
    const same = bert.g.all("trained").find(({ name }) => name === t.name)!;
    if (t !== table(roberta)) roberta.given.set(t, bert.given.get(same)!);
  }
  const rows = Float64Array.from({ length: 18 * 8 }, () => NaN); // the first two are never looked at
  rows.set(bert.given.get(table(bert))!, 2 * 8);
  roberta.given.set(table(roberta), rows);
  const value = (r: typeof bert) => runReference(r.g.nodes, r.given).get(r.loss)![0];
  expect(value(roberta)).toBe(value(bert)!);
  expect(specOf(other).sizes.context).toBe(16);
});

test("names of older checkpoints, and what belongs to other heads", () => {
  const { rename, unused } = specOf(config).architecture.checkpoint!;
  expect(rename("bert.embeddings.LayerNorm.gamma")).toBe("embeddings.LayerNorm.weight");
  expect(rename("roberta.encoder.layer.0.output.LayerNorm.beta"))
    .toBe("encoder.layer.0.output.LayerNorm.bias");
  for (const name of ["pooler.dense.weight", "cls.predictions.bias", "embeddings.position_ids"]) {
    expect(unused.test(name)).toBe(true);
  }
  expect(unused.test("embeddings.position_embeddings.weight")).toBe(false);
});

test("settings that it cannot compute are named", () => {
  const refuse = (more: Record<string, unknown>) => () => specOf({ ...config, ...more });
  expect(refuse({ position_embedding_type: "relative_key" })).toThrow("position_embedding_type");
  expect(refuse({ hidden_act: "relu" })).toThrow("hidden_act");
  expect(refuse({ is_decoder: true })).toThrow("is_decoder");
});
