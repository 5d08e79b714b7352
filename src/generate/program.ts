import { attention } from "../../kernels/attention/attention.ts";
import { cacheWrite } from "../../kernels/cache_write/cache_write.ts";
import { advance, type Paging, places } from "../../kernels/cursor/cursor.ts";
import { gatherRows } from "../../kernels/gather_rows/gather_rows.ts";
import { matmul } from "../../kernels/matmul/matmul.ts";
import { ASK, sample } from "../../kernels/sample/sample.ts";
import { softcap } from "../../kernels/softcap/softcap.ts";
import { headOf } from "../architectures/architecture.ts";
import { type Model, netOf } from "../architectures/model.ts";
import { Graph } from "../graph/graph.ts";
import type { Memory } from "../graph/memory.ts";
import { Runner } from "../graph/runner.ts";
import type { Tensor } from "../graph/tensor.ts";
import { atRest, type Lora } from "../nn/net.ts";

/** Keys in one page of the cache. */
export const PAGE = 32;

/** Drawn tokens of a request that the device remembers: more than steps are ever under way. */
export const NOTES = 16;

export interface CacheSize extends Paging {
  /** Requests that run side by side. */
  readonly slots: number;
  /** Pages that they share. */
  readonly pages: number;
}

export interface Adapted {
  readonly lora?: Lora;
  readonly full?: boolean;
}

/** What the device knows of the requests, one row a slot; it outlives a step. */
export interface Requests {
  /** u32[S, 4]: token, its position, tokens still to draw */
  readonly cursor: Tensor;
  /** u32[S · context / PAGE]: where the keys of each stretch of PAGE positions are */
  readonly pages: Tensor;
  /** u32[S, ASK], see `askOf` */
  readonly ask: Tensor;
  /** u32[S, ⌈V/32⌉], see `tokenBits`: tokens of the request so far, and those that may come next */
  readonly seen: Tensor;
  readonly allowed: Tensor;
  /** u32[S, NOTES]: drawn tokens at their positions modulo NOTES */
  readonly notes: Tensor;
}

export interface Prefill {
  readonly runner: Runner;
  readonly tokens: number;
  readonly inputs: Record<"ids" | "positions" | "rows" | "spans" | "pick" | "cursor", Tensor>;
  /** u32[S]: the first token of each prompt that ended in this run */
  readonly drawn: Tensor;
}

export interface Decode {
  readonly runner: Runner;
  readonly requests: Requests;
}

/** Named by their sizes: generators of different sizes over one memory do not share them. */
function requestsOn(g: Graph, { slots, context }: CacheSize, vocab: number): Requests {
  const state = (name: string, ...shape: number[]) =>
    g.state(`${name} [${shape.join(", ")}]`, shape, "u32");
  return {
    cursor: state("cursor", slots, 4),
    pages: state("pages", slots * context / PAGE),
    ask: state("ask", slots, ASK),
    seen: state("seen", slots, Math.ceil(vocab / 32)),
    allowed: state("allowed", slots, Math.ceil(vocab / 32)),
    notes: state("notes", slots, NOTES),
  };
}

interface Tokens {
  readonly ids: Tensor;
  readonly positions: Tensor;
  /** Where each token's key goes. */
  readonly rows: Tensor;
  /** Which keys each token sees. */
  readonly spans: Tensor;
}

/** Logits of some of T tokens of any requests, whose keys and values go through the pages. */
function logitsOf(
  model: Model,
  g: Graph,
  { context, pages }: CacheSize,
  { rows, spans, ...stream }: Tokens,
  table: Tensor,
  adapted: Adapted,
  take: (hidden: Tensor) => Tensor,
): Tensor {
  const net = netOf(model, g, {
    positions: context,
    full: adapted.full,
    lora: atRest(adapted.lora),
  });
  const hidden = model.architecture.hidden(net, model.config, {
    ...stream,
    attend(q, k, v, heads) {
      const keep = (name: string, x: Tensor) =>
        cacheWrite(g, g.state(name, [pages * PAGE, x.shape[1]!], x.dtype), x, rows);
      const [keys, values] = [keep(`cache.k ${pages}`, k), keep(`cache.v ${pages}`, v)];
      return attention(g, q, keys, values, { spans, pages: table, page: PAGE, ...heads });
    },
  });
  const { weight, bias, cap } = headOf(model, net);
  const logits = matmul(g, take(hidden), weight, { form: "nt", bias });
  return cap === undefined ? logits : softcap(g, logits, cap);
}

/** Records prompts, `tokens` of them a run. */
function recordPrefill(
  model: Model,
  g: Graph,
  size: CacheSize,
  tokens: number,
  adapted: Adapted,
) {
  const inputs = {
    ids: g.input("ids", [tokens], "u32"),
    positions: g.input("positions", [tokens], "u32"),
    rows: g.input("rows", [tokens], "u32"),
    spans: g.input("spans", [tokens, 2], "u32"),
    pick: g.input("pick", [size.slots], "u32"),
    cursor: g.input("prompt ends", [size.slots, 4], "u32"),
  };
  const { pages, ask, seen, allowed } = requestsOn(g, size, model.sizes.vocab);
  const logits = logitsOf(
    model,
    g,
    size,
    inputs,
    pages,
    adapted,
    (hidden) => gatherRows(g, hidden, inputs.pick, g.input("unpick", [tokens], "u32")),
  );
  return { inputs, drawn: sample(g, logits, { ask, seen, allowed, cursor: inputs.cursor }) };
}

/** Builds the program for prompts over weights that `memory` holds. */
export async function buildPrefill(
  model: Model,
  memory: Memory,
  size: CacheSize,
  tokens: number,
  adapted: Adapted,
): Promise<Prefill> {
  const g = new Graph(), { inputs, drawn } = recordPrefill(model, g, size, tokens, adapted);
  const runner = await Runner.prepare(`prefill ${tokens}`, memory, g.nodes, [drawn]);
  return { runner, tokens, inputs, drawn };
}

/**
 * Builds the program that moves every live request on by a token. What it reads and draws stays on the
 * device, so that one step can follow another before the host has seen its tokens.
 */
export async function buildDecode(
  model: Model,
  memory: Memory,
  size: CacheSize,
  adapted: Adapted,
): Promise<Decode> {
  const g = new Graph(), requests = requestsOn(g, size, model.sizes.vocab);
  const { cursor, pages, ask, seen, allowed, notes } = requests;
  const at = places(g, cursor, pages, size);
  const logits = logitsOf(model, g, size, at, pages, adapted, (hidden) => hidden);
  advance(g, cursor, notes, sample(g, logits, { ask, seen, allowed, cursor }));
  return { runner: await Runner.prepare("decode", memory, g.nodes, []), requests };
}

/** The weights that generating reads. */
export function weightsOf(model: Model, adapted: Adapted = {}) {
  const g = new Graph();
  recordPrefill(model, g, { slots: 1, context: PAGE, page: PAGE, pages: 1 }, 1, adapted);
  return { frozen: g.all("frozen"), trained: g.all("trained") };
}
