import { attention } from "../../kernels/attention/attention.ts";
import { cacheWrite } from "../../kernels/cache_write/cache_write.ts";
import { gatherRows } from "../../kernels/gather_rows/gather_rows.ts";
import { matmul } from "../../kernels/matmul/matmul.ts";
import { headOf } from "../architectures/architecture.ts";
import { softcap } from "../../kernels/softcap/softcap.ts";
import { type Model, netOf } from "../architectures/model.ts";
import { Exit, Fail } from "../base/fail.ts";
import { Graph } from "../graph/graph.ts";
import type { Memory } from "../graph/memory.ts";
import { Runner } from "../graph/runner.ts";
import type { Tensor } from "../graph/tensor.ts";
import { atRest, type Lora } from "../nn/net.ts";
import { sample, type Sampling } from "./sample.ts";

export interface GeneratorSize {
  /** Requests that run side by side. */
  readonly slots: number;
  /** Longest prompt and answer together, tokens. */
  readonly context: number;
  /** Prompt tokens computed in one run. */
  readonly prefill: number;
}

export interface Request {
  readonly ids: readonly number[];
  readonly maxTokens: number;
}

export interface Answer {
  /** Without the token that ended it. */
  readonly ids: number[];
  readonly finish: "stop" | "length";
  /** From the moment the request got a slot. */
  readonly milliseconds: number;
  /** The same of each token; of the one that ended the answer too. */
  readonly at: readonly number[];
}

interface Program {
  readonly runner: Runner;
  readonly tokens: number;
  readonly inputs: Record<"ids" | "positions" | "rows" | "spans" | "pick", Tensor>;
  readonly logits: Tensor;
}

/** One token to compute: for which slot, at which place of its sequence, and whether to read its logits. */
interface Item {
  readonly slot: number;
  readonly id: number;
  readonly position: number;
  readonly last: boolean;
}

const NONE = 0xffffffff;

/**
 * Generation with a key-value cache, several requests at once. Prompts and single tokens go through the
 * same recording at two sizes; tokens of different requests share a run and see only their own rows.
 */
export class Generator {
  private constructor(
    readonly model: Model,
    readonly size: GeneratorSize,
    readonly memory: Memory,
    readonly prefill: Program,
    readonly decode: Program,
  ) {}

  /** Records and builds both programs over weights that `memory` holds already. */
  static async create(
    model: Model,
    memory: Memory,
    size: GeneratorSize,
    adapted: { lora?: Lora; full?: boolean } = {},
  ): Promise<Generator> {
    const prefill = await build(model, memory, size, Math.max(size.prefill, size.slots), adapted);
    const decode = await build(model, memory, size, size.slots, adapted);
    return new Generator(model, size, memory, prefill, decode);
  }

  /** What a generator needs loaded: its frozen and trained tensors. */
  static tensors(model: Model, adapted: { lora?: Lora; full?: boolean } = {}) {
    const g = new Graph(), size = { slots: 1, context: 1, prefill: 1 };
    recordTokens(model, g, size, 1, adapted);
    return { frozen: g.all("frozen"), trained: g.all("trained") };
  }

  /**
   * Answers every request, greedily or by sampling; answers come in the order of the requests.
   * @param stop ids that end an answer
   * @throws Fail (exit 3) when a prompt leaves no room for an answer
   */
  async *answers(
    requests: Iterable<Request> | AsyncIterable<Request>,
    stop: ReadonlySet<number>,
    sampling: Sampling,
  ): AsyncGenerator<Answer> {
    const { slots, context } = this.size;
    const active = new Map<
      number,
      { index: number; request: Request; out: number[]; at: number[]; began: number }
    >();
    const done = new Map<number, Answer>();
    const source = iterate(requests);
    let asked = 0, given = 0, exhausted = false;

    for (;;) {
      const items: Item[] = [];
      for (let slot = 0; slot < slots && !exhausted; slot++) {
        if (active.has(slot)) continue;
        const { value, done: end } = await source.next();
        exhausted = end === true;
        if (exhausted) break;
        const request = value as Request, n = request.ids.length;
        if (n === 0 || n >= context) {
          throw new Fail(`prompt ${asked + 1} has ${n} tokens; 1 to ${context - 1} fit`, {
            fix: "shorten the prompt",
            exit: Exit.data,
          });
        }
        active.set(slot, { index: asked++, request, out: [], at: [], began: performance.now() });
        request.ids.forEach((id, position) =>
          items.push({ slot, id, position, last: position === n - 1 })
        );
      }
      const fresh = new Set(items.map((item) => item.slot));
      const next: Item[] = [];
      for (const [slot, { request, out }] of active) {
        if (fresh.has(slot)) continue;
        next.push({
          slot,
          id: out.at(-1)!,
          position: request.ids.length + out.length - 1,
          last: true,
        });
      }
      if (items.length + next.length === 0) break;

      const take = (slot: number, logits: Float32Array) => {
        const { index, request, out, at, began } = active.get(slot)!;
        const id = sample(logits, sampling, index, out.length);
        const ended = stop.has(id);
        const milliseconds = performance.now() - began;
        at.push(milliseconds);
        if (!ended) out.push(id);
        const full = out.length >= request.maxTokens || request.ids.length + out.length >= context;
        if (!ended && !full) return;
        active.delete(slot);
        done.set(index, { ids: out, finish: ended ? "stop" : "length", milliseconds, at });
      };
      if (next.length > 0) await this.#compute(this.decode, next, take);
      for (let at = 0; at < items.length; at += this.prefill.tokens) {
        await this.#compute(this.prefill, items.slice(at, at + this.prefill.tokens), take);
      }
      for (; done.has(given); given++) {
        yield done.get(given)!;
        done.delete(given);
      }
    }
  }

  async #compute(
    p: Program,
    items: readonly Item[],
    take: (slot: number, logits: Float32Array) => void,
  ) {
    const { context } = this.size, vocab = this.model.sizes.vocab;
    const ids = new Uint32Array(p.tokens), positions = new Uint32Array(p.tokens);
    const rows = new Uint32Array(p.tokens).fill(NONE), spans = new Uint32Array(2 * p.tokens);
    const pick = new Uint32Array(this.size.slots).fill(NONE);
    const reads: number[] = [];
    items.forEach(({ slot, id, position, last }, t) => {
      ids[t] = id;
      positions[t] = position;
      rows[t] = slot * context + position;
      spans[2 * t] = slot * context;
      spans[2 * t + 1] = slot * context + position + 1;
      if (last) pick[reads.push(slot) - 1] = t;
    });
    const { runner, inputs } = p;
    runner.write(inputs.ids, ids);
    runner.write(inputs.positions, positions);
    runner.write(inputs.rows, rows);
    runner.write(inputs.spans, spans);
    runner.write(inputs.pick, pick);
    await runner.run();
    if (reads.length === 0) return;
    const logits = await runner.read(p.logits);
    reads.forEach((slot, i) => take(slot, logits.subarray(i * vocab, (i + 1) * vocab)));
  }

  free(): void {
    this.prefill.runner.free();
    this.decode.runner.free();
  }
}

async function* iterate(
  requests: Iterable<Request> | AsyncIterable<Request>,
): AsyncGenerator<Request, undefined> {
  yield* requests;
  return undefined;
}

/** Records the model over T tokens of any requests, keys and values going through the cache. */
function recordTokens(
  model: Model,
  g: Graph,
  { slots, context }: GeneratorSize,
  tokens: number,
  adapted: { lora?: Lora; full?: boolean },
) {
  const inputs = {
    ids: g.input("ids", [tokens], "u32"),
    positions: g.input("positions", [tokens], "u32"),
    rows: g.input("rows", [tokens], "u32"),
    spans: g.input("spans", [tokens, 2], "u32"),
    pick: g.input("pick", [slots], "u32"),
  };
  const net = netOf(model, g, {
    positions: context,
    full: adapted.full,
    lora: atRest(adapted.lora),
  });
  const hidden = model.architecture.hidden(net, model.config, {
    ids: inputs.ids,
    positions: inputs.positions,
    attend(q, k, v, heads) {
      const keep = (name: string, x: Tensor) =>
        cacheWrite(g, g.state(name, [slots * context, x.shape[1]!], x.dtype), x, inputs.rows);
      return attention(g, q, keep("cache.k", k), keep("cache.v", v), {
        spans: inputs.spans,
        ...heads,
      });
    },
  });
  const { weight, bias, cap } = headOf(model, net);
  const last = gatherRows(g, hidden, inputs.pick, g.input("unpick", [tokens], "u32"));
  const logits = matmul(g, last, weight, { form: "nt", bias });
  return { inputs, logits: cap === undefined ? logits : softcap(g, logits, cap) };
}

async function build(
  model: Model,
  memory: Memory,
  size: GeneratorSize,
  tokens: number,
  adapted: { lora?: Lora; full?: boolean },
): Promise<Program> {
  const g = new Graph();
  const { inputs, logits } = recordTokens(model, g, size, tokens, adapted);
  const runner = await Runner.prepare(`generate ${tokens}`, memory, g.nodes, [logits]);
  return { runner, tokens, inputs, logits };
}
