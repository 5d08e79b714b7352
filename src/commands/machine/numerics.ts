import { adamw } from "../../../kernels/adamw/adamw.ts";
import { hyper, hyperSize } from "../../../kernels/adamw/hyper.ts";
import { attention } from "../../../kernels/attention/attention.ts";
import { cacheWrite } from "../../../kernels/cache_write/cache_write.ts";
import { clip } from "../../../kernels/clip/clip.ts";
import { blockWords, roundToBlocks } from "../../../kernels/common/gguf.ts";
import { layInt8, roundToInt8 } from "../../../kernels/common/int8.ts";
import { isNf4, nf4Words, roundToNf4 } from "../../../kernels/common/nf4.ts";
import { advance, places } from "../../../kernels/cursor/cursor.ts";
import { embed as embedRows } from "../../../kernels/embedding/embedding.ts";
import { matmul } from "../../../kernels/matmul/matmul.ts";
import { ASK, askOf, sample } from "../../../kernels/sample/sample.ts";
import { softcap } from "../../../kernels/softcap/softcap.ts";
import { squareSum } from "../../../kernels/square_sum/square_sum.ts";
import { type Model, specOf } from "../../architectures/model.ts";
import { normalFill } from "../../base/random.ts";
import type { ModelFolder } from "../../formats/model_folder.ts";
import { isBlocks } from "../../formats/gguf_planes.ts";
import { quantiseRows } from "../../formats/int8.ts";
import type { Device } from "../../gpu/device.ts";
import { Graph, type Node } from "../../graph/graph.ts";
import { Memory } from "../../graph/memory.ts";
import { Runner } from "../../graph/runner.ts";
import { count, storageOf, type Tensor } from "../../graph/tensor.ts";
import type { TokenRow } from "../../architectures/packed.ts";
import { dpo } from "../../trainer/objectives/dpo.ts";
import { embed } from "../../trainer/objectives/embed.ts";
import { kto } from "../../trainer/objectives/kto.ts";
import { type Recipe, recordStep } from "../../trainer/program.ts";

/** What one op's kernels computed on this device, against float64. */
export interface OpNumerics {
  readonly op: string;
  /** How many different uses of it were compared. */
  readonly uses: number;
  /** Largest difference, relative to the largest number of the right answer. */
  readonly worst: number;
  /** Two runs gave the same bits. */
  readonly repeats: boolean;
  readonly ok: boolean;
}

/**
 * What rounding may explain: f32 sums of a few hundred terms err by some 1e-6 of the largest one. A
 * kernel that computes something else errs by far more.
 */
const BOUND = 5e-5;

/** Tokens and places for predictions of the step that is compared. */
const SIZE = { tokens: 64, targets: 64 };
const VOCABULARY = 320;

const common = {
  vocab_size: VOCABULARY,
  num_hidden_layers: 2,
  max_position_embeddings: 128,
  rope_parameters: { rope_theta: 10000.0, rope_type: "default" },
  hidden_size: 96,
  intermediate_size: 160,
};
const llama = {
  ...common,
  model_type: "llama",
  hidden_act: "silu",
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 16,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
};
/** In sizes of whole blocks, as all models have that are quantised. */
const quantised = { ...llama, num_hidden_layers: 1, hidden_size: 128, intermediate_size: 192 };
const phi = {
  ...common,
  model_type: "phi",
  hidden_act: "gelu_new",
  num_attention_heads: 4,
  num_key_value_heads: 4,
  layer_norm_eps: 1e-5,
  partial_rotary_factor: 0.5,
  tie_word_embeddings: false,
};

/** Capped scores and logits, a window in one layer of two. */
const gemma = {
  ...common,
  model_type: "gemma2",
  hidden_activation: "gelu_pytorch_tanh",
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 16,
  rms_norm_eps: 1e-5,
  query_pre_attn_scalar: 16,
  attn_logit_softcapping: 50,
  final_logit_softcapping: 30,
  sliding_window: 8,
  layer_types: ["sliding_attention", "full_attention"],
  tie_word_embeddings: true,
};
/** Projections in one. */
const phi3 = {
  ...common,
  num_hidden_layers: 1,
  model_type: "phi3",
  hidden_act: "silu",
  num_attention_heads: 6,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
};
const bert = {
  ...common,
  num_hidden_layers: 1,
  model_type: "bert",
  hidden_act: "gelu",
  num_attention_heads: 6,
  layer_norm_eps: 1e-12,
  type_vocab_size: 2,
};

/**
 * Runs every op of training and generation on the device as small models use it, forward and backward,
 * each with given inputs, and compares the answers with the float64 meaning of the op.
 */
export async function numerics(
  device: Device,
  progress: (done: number, of: number) => void,
): Promise<OpNumerics[]> {
  const lora = { rank: 8, alpha: 16, rslora: false, dropout: 0.1, targets: () => true };
  const graphs = [
    step(modelOf(llama, "F16"), { lora, full: false }),
    step(modelOf(llama, "F32"), { full: true, neftune: 5, smoothing: 0.1 }),
    step({ ...modelOf(llama, "F16"), compute: "f16" }, { lora, full: false }),
    // So that its feed-forward layers are done in two chunks.
    step(modelOf(phi, "F32"), { lora, full: false, size: { tokens: 128, targets: 64 }, chunk: 1 }),
    ...[
      dpo({ loss: "aot_unpaired", beta: 0.1, smoothing: 0, reference: "adapter-off" }),
      kto({ loss: "kto", beta: 0.1, desirable: 1, undesirable: 1, reference: "adapter-off" }),
    ].map((objective) =>
      step(modelOf({ ...llama, num_hidden_layers: 1 }, "F32"), {
        lora,
        full: false,
        size: { ...SIZE, rows: 2, keys: 128 },
        objective,
        row: {
          pair: { shared: 4, rejected: 13, wanted: objective.kind === "kto" ? true : undefined },
        },
      })
    ),
    step(modelOf(gemma, "F32"), { lora, full: false }),
    step(modelOf(phi3, "F32"), { lora, full: false }),
    ...([{ loss: "triplet", distance: "l2" }, { loss: "contrastive", distance: "cosine" }] as const)
      .map((how) =>
        step(modelOf(bert, "F32"), {
          lora,
          full: false,
          size: { ...SIZE, rows: 2 },
          objective: embed({ ...how, scale: 20, pooling: "mean" }),
          row: { texts: [9, 6, 7].map((length) => ({ length, skip: 0 })) },
        })
      ),
    ...([{ type: "nf4", double: true }, { type: "int8" }] as const).map((quant) =>
      step({ ...modelOf(quantised, "F16"), quant }, {
        lora: { ...lora, dora: quant.type === "nf4" },
        full: false,
      })
    ),
    update(),
    generation(),
    blocks(),
  ];
  const found = new Map<string, { uses: number; worst: number; repeats: boolean }>();
  const total = graphs.reduce((sum, { nodes }) => sum + nodes.length, 0);
  let done = 0;
  const seen = new Set<string>();
  for (const { nodes, given } of graphs) {
    const values = new Map(given);
    const read = new Set(nodes.flatMap((node) => node.inputs));
    for (const node of nodes) {
      const inputs = node.inputs.map((t) => rounded(t, valueOf(t, values)));
      const want = node.op.reference(inputs, node.attrs, node);
      node.outputs.forEach((t, i) => values.set(t, want[i]!));
      progress(++done, total);
      const same = JSON.stringify([
        node.op.name,
        node.attrs,
        node.inputs.map((t) => [t.shape, t.dtype]),
      ]);
      if (seen.has(same)) continue;
      seen.add(same);
      // What no other op reads is scratch, unless it is all that the op makes.
      const wanted = node.outputs.some((t) => read.has(t))
        ? node.outputs.map((t) => read.has(t))
        : [];
      const { worst, repeats } = await compare(device, node, inputs, want, wanted);
      const before = found.get(node.op.name) ?? { uses: 0, worst: 0, repeats: true };
      found.set(node.op.name, {
        uses: before.uses + 1,
        worst: Math.max(before.worst, worst),
        repeats: before.repeats && repeats,
      });
    }
  }
  return [...found].sort(([a], [b]) => a < b ? -1 : 1).map(([op, one]) => ({
    op,
    ...one,
    ok: one.worst <= BOUND && one.repeats,
  }));
}

interface Given {
  readonly nodes: readonly Node[];
  readonly given: Map<Tensor, Float64Array>;
}

/** A model that exists only as a shape: recording asks its folder for nothing but weight types. */
function modelOf(config: Record<string, unknown>, dtype: "F16" | "F32"): Model {
  const tensors = { get: () => ({ dtype }) };
  return { ...specOf(config), folder: { tensors } as unknown as ModelFolder };
}

/** Numbers for everything that a record reads: near 1 for norms, small elsewhere. */
function fill(nodes: readonly Node[], given: Map<Tensor, Float64Array>): Given {
  const tensors = new Set(nodes.flatMap((node) => node.inputs).map(storageOf));
  let stream = 0;
  for (const t of tensors) {
    if (given.has(t) || t.home === "value") continue;
    const n = count(t.shape);
    if (t.data) given.set(t, Float64Array.from(t.data));
    else if (t.home === "frozen" || t.home === "trained") {
      const norm = /norm.*weight$/.test(t.name) ? 1 : 0;
      const scale = t.shape.length > 1 ? 1 / Math.sqrt(t.shape.at(-1)!) : 0.1;
      given.set(t, Float64Array.from(normalFill(1, ++stream, n, scale), (v) => v + norm));
    } else given.set(t, new Float64Array(n));
  }
  return { nodes, given };
}

function step(
  model: Model,
  how:
    & Pick<Recipe, "lora" | "full" | "chunk" | "neftune" | "smoothing" | "objective">
    & Partial<Pick<Recipe, "size">>
    /** What every row has besides its tokens. */
    & { readonly row?: Pick<TokenRow, "pair" | "texts"> },
) {
  const recipe = { size: SIZE, positions: SIZE.tokens, ...how };
  const recorded = recordStep(model, recipe), { g } = recorded;
  const given = new Map<Tensor, Float64Array>();
  const write = (t: Tensor, data: ArrayLike<number>) => given.set(t, Float64Array.from(data));
  // Two rows of different length, so that one must not see the other.
  const rows = [37, 22].map((length, r) => {
    const ids = Array.from({ length }, (_, i) => (i * 31 + r * 7 + 3) % VOCABULARY);
    const rejected = how.row?.pair?.rejected;
    return { ids, labels: ids.map((id, i) => i < 5 || i === rejected ? -100 : id), ...how.row };
  });
  recorded.fill({ write, reads: () => true }, rows, 1 / 49);
  for (const t of g.all("input")) {
    if (!given.has(t)) write(t, new Uint32Array(count(t.shape)).fill(3));
  }
  return fill(g.nodes, given);
}

/** The optimiser: gradient norm, clipping, AdamW. */
function update(): Given {
  const g = new Graph();
  const page = (which: string) => g.arena(`${which}.0`, [2048]);
  const settings = { betas: [0.9, 0.999] as const, eps: 1e-8, weightDecay: 0.01, maxGradNorm: 1 };
  const numbers = g.input("hyper", [hyperSize], "f32");
  const given = new Map([[numbers, Float64Array.from(hyper(settings, 3, 1e-3))]]);
  ["w", "g", "m", "v"].forEach((which, i) => {
    const drawn = normalFill(2, i, 2048, 0.1);
    given.set(page(which), Float64Array.from(drawn, which === "v" ? Math.abs : Number));
  });
  const clipped = clip(g, squareSum(g, page("g")), numbers);
  adamw(g, {
    w: page("w"),
    g: page("g"),
    m: page("m"),
    v: page("v"),
    clip: clipped,
    hyper: numbers,
  });
  return { nodes: g.nodes, given };
}

/** Rows of tables of GGUF blocks, and products with them for a token and for many. */
function blocks(): Given {
  const g = new Graph(), given = new Map<Tensor, Float64Array>();
  const ids = g.input("ids", [24], "u32");
  given.set(ids, Float64Array.from({ length: 24 }, (_, i) => i * 7 % 50));
  (["q4_0", "q5_0", "q8_0", "q4_K", "q5_K", "q6_K"] as const).forEach((dtype, i) => {
    const table = g.frozen(`table.${dtype}`, [50, 256], dtype);
    given.set(table, Float64Array.from(normalFill(4, i, count(table.shape), 0.1)));
    const x = embedRows(g, table, ids), one = g.input(`one.${dtype}`, [1, 256], "f32");
    given.set(one, Float64Array.from(normalFill(5, i, 256, 1)));
    matmul(g, x, table, { form: "nt" });
    matmul(g, one, table, { form: "nt" });
  });
  return { nodes: g.nodes, given };
}

/** One token of each of four requests, looking into a key-value cache. */
function generation(): Given {
  const g = new Graph();
  const [slots, context, heads, kvHeads, dim] = [4, 32, 6, 2, 16];
  const given = new Map<Tensor, Float64Array>();
  const float = (t: Tensor, stream: number) => {
    given.set(t, Float64Array.from(normalFill(3, stream, count(t.shape), 1)));
    return t;
  };
  const ints = (name: string, shape: number[], values: number[]) => {
    const t = g.input(name, shape, "u32");
    given.set(t, Float64Array.from(values));
    return t;
  };
  const vocab = 100, paging = { context, page: 8 };
  const at = [9, 3, 31, 17], across = context / paging.page;
  const cursor = g.state("cursor", [slots, 4], "u32");
  given.set(cursor, Float64Array.from(at.flatMap((n, slot) => [slot, n, slot % 3, 0])));
  const table = Array.from({ length: slots * across }, (_, i) => (i * 5 + 3) % (slots * across));
  const pages = ints("pages", [slots * across], table);
  const { rows, spans } = places(g, cursor, pages, paging);
  const cache = (name: string, stream: number) =>
    cacheWrite(
      g,
      float(g.state(name, [slots * context, kvHeads * dim]), stream),
      float(g.input(`${name}.new`, [slots, kvHeads * dim], "f32"), stream + 1),
      rows,
    );
  const q = float(g.input("q", [slots, heads * dim], "f32"), 1);
  const mixed = attention(g, q, cache("k", 2), cache("v", 4), {
    spans,
    pages,
    page: paging.page,
    heads,
    kvHeads,
    scale: 0.25,
  });
  softcap(g, mixed, 30); // as logits are
  const warm = { temperature: 0.9, topK: 40, topP: 0.9, minP: 0.01, repetitionPenalty: 1.1 };
  const ask = ints(
    "ask",
    [slots, ASK],
    // Every other one is constrained to what is allowed.
    at.flatMap((n, slot) => [
      ...askOf({ ...warm, seed: 7, constrained: slot % 2 === 1 }, slot, n - slot),
    ]),
  );
  const words = Math.ceil(vocab / 32);
  const allowed = ints("allowed", [slots, words], Array(slots * words).fill(0x5a5a5a5a));
  const seen = g.state("seen", [slots, words], "u32");
  given.set(seen, Float64Array.from({ length: count(seen.shape) }, (_, i) => 0x1234567 * (i % 8)));
  const notes = g.state("notes", [slots, 16], "u32");
  given.set(notes, new Float64Array(count(notes.shape)));
  const logits = float(g.input("logits", [slots, vocab], "f32"), 6);
  advance(g, cursor, notes, sample(g, logits, { ask, cursor, seen, allowed }));
  return { nodes: g.nodes, given };
}

/** The value of a tensor, or of what it updated in place last. */
function valueOf(t: Tensor, values: ReadonlyMap<Tensor, Float64Array>): Float64Array {
  const found = values.get(t) ?? values.get(storageOf(t));
  if (!found) throw new Error(`${t.name} has no value`);
  return found;
}

function rounded(t: Tensor, values: Float64Array): Float64Array {
  if (isNf4(t.dtype)) return roundToNf4(values, t);
  if (t.dtype === "int8") return roundToInt8(values, t.shape);
  if (isBlocks(t.dtype)) return roundToBlocks(values, t.shape, t.dtype);
  return t.dtype === "u32" ? values : values.map(t.dtype === "f16" ? Math.f16round : Math.fround);
}

/** Runs one node alone on the device, twice, on the inputs given; outputs with `read[o]` false do not count. */
async function compare(
  device: Device,
  node: Node,
  inputs: readonly Float64Array[],
  want: readonly Float64Array[],
  read: readonly boolean[],
): Promise<{ worst: number; repeats: boolean }> {
  const g = new Graph();
  const memory = new Memory(device);
  const updated = new Set(node.op.updates ?? []);
  const tensors = node.inputs.map((t, i) => {
    if (t.data) return g.constant(`in${i}`, t.shape, t.data);
    const same = node.inputs.indexOf(t);
    return updated.has(i)
      ? g.state(`in${same}`, t.shape, t.dtype)
      : g.frozen(`in${same}`, t.shape, t.dtype);
  });
  const outputs = g.add(node.op, tensors, node.attrs);
  const runner = await Runner.prepare(`check ${node.op.name}`, memory, g.nodes, outputs);
  const once = async () => {
    tensors.forEach((t, i) => t.data || memory.write(t, encoded(t, inputs[i]!)));
    await runner.run();
    const got: Uint8Array[] = [];
    for (const t of outputs) got.push((await runner.bytes(t)).slice());
    return got;
  };
  const [first, second] = [await once(), await once()];
  runner.free();
  memory.free();
  let worst = 0;
  outputs.forEach((t, o) => {
    if (read[o] === false) return;
    const bits = first[o]!.buffer;
    const got = t.dtype === "u32"
      ? new Uint32Array(bits)
      : t.dtype === "f16"
      ? new Float16Array(bits)
      : new Float32Array(bits);
    const step = t.dtype === "f16" ? 2 ** -11 : 0; // that storing may round by
    const scale = want[o]!.reduce((most, v) => Math.max(most, Math.abs(v)), 0) || 1;
    want[o]!.forEach((v, i) => {
      const error = v === got[i]
        ? 0
        : Math.max(0, Math.abs(got[i]! - v) - step * Math.abs(v)) / scale;
      worst = Math.max(worst, Number.isNaN(error) ? Infinity : error);
    });
  });
  const repeats = first.every((bits, o) =>
    read[o] === false || bits.every((word, i) => word === second[o]![i])
  );
  return { worst, repeats };
}

/** The bytes that a device holds for these numbers, whole words. */
function encoded(t: Tensor, values: Float64Array): Uint8Array | Uint32Array {
  if (t.dtype === "int8") {
    return layInt8(quantiseRows(Float32Array.from(values), t.shape[1]!), t.shape);
  }
  if (isNf4(t.dtype)) return nf4Words(values);
  if (isBlocks(t.dtype)) return blockWords(values);
  const array = t.dtype === "u32"
    ? Uint32Array.from(values)
    : t.dtype === "f16"
    ? Float16Array.from(values)
    : Float32Array.from(values);
  const bytes = new Uint8Array(Math.ceil(array.byteLength / 4) * 4);
  bytes.set(new Uint8Array(array.buffer));
  return bytes;
}
