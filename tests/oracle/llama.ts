/**
 * llama.cpp as an independent second opinion, on the CPU. One JSON request a line on stdin, one JSON
 * answer a line on stdout; see oracle.ts for both.
 */
import type { Answer, Request } from "./oracle.ts";

type Logits =
  | { next: { token?: number; logits?: Map<number, number> } }
  | undefined;
interface Sequence {
  controlledEvaluate(
    items: [
      number,
      { generateNext?: { token?: boolean; logits?: boolean; options: object } },
    ][],
  ): Promise<Logits[]>;
}
interface Context {
  getSequence(): Sequence;
  dispose(): Promise<void>;
}
interface EmbeddingContext {
  getEmbeddingFor(
    ids: readonly number[],
  ): Promise<{ readonly vector: readonly number[] }>;
  dispose(): Promise<void>;
}
interface Model {
  tokenize(text: string, special: boolean): number[];
  createContext(options: object): Promise<Context>;
  createEmbeddingContext(options: object): Promise<EmbeddingContext>;
  dispose(): Promise<void>;
}
interface Library {
  getLlama(
    options: object,
  ): Promise<{ loadModel(options: object): Promise<Model> }>;
  LlamaLogLevel: Record<string, string>;
}

// Installed in this folder only, so the name is not known where the repository is type-checked.
const library = "node-llama-cpp";
const { getLlama, LlamaLogLevel } = await import(library) as Library;
const llama = await getLlama({
  gpu: false,
  build: "never",
  logLevel: LlamaLogLevel.error,
});

const greedy = { temperature: 0 };

async function generate(
  sequence: Sequence,
  ids: readonly number[],
  count: number,
) {
  const out: number[] = [];
  let input = [...ids];
  while (out.length < count) {
    const last = input.length - 1;
    const results = await sequence.controlledEvaluate(
      input.map((
        id,
        i,
      ) => [
        id,
        i === last ? { generateNext: { token: true, options: greedy } } : {},
      ]),
    );
    const token = results[last]!.next.token!;
    out.push(token);
    input = [token];
  }
  return out;
}

/** Logits after every position, f32[ids, vocabulary] as base64. */
async function logits(
  sequence: Sequence,
  ids: readonly number[],
): Promise<string> {
  const options = { generateNext: { logits: true, options: greedy } };
  const results = await sequence.controlledEvaluate(
    ids.map((id) => [id, options]),
  );
  const rows = results.map((result) => {
    const found = [...result!.next.logits!].sort(([a], [b]) => a - b);
    return found.map(([, value]) => value);
  });
  return Buffer.from(Float32Array.from(rows.flat()).buffer).toString("base64");
}

async function answer(request: Request): Promise<Answer> {
  const model = await llama.loadModel({ modelPath: request.model });
  try {
    const tokens = request.texts?.map((text) => model.tokenize(text, false));
    if (request.embed) {
      const context = await model.createEmbeddingContext({
        contextSize: 64,
        threads: 1,
      });
      const embeddings: (readonly number[])[] = [];
      for (const ids of request.embed) {
        embeddings.push((await context.getEmbeddingFor(ids)).vector);
      }
      await context.dispose();
      return { tokens, embeddings };
    }
    if (request.ids === undefined) return { tokens };
    const context = await model.createContext({
      contextSize: 256,
      threads: 1,
      flashAttention: false,
      experimentalKvCacheKeyType: "F32",
      experimentalKvCacheValueType: "F32",
      lora: request.lora,
    });
    const sequence = context.getSequence();
    const result: Answer = request.greedy === undefined
      ? { tokens, logits: await logits(sequence, request.ids) }
      : { tokens, ids: await generate(sequence, request.ids, request.greedy) };
    await context.dispose();
    return result;
  } finally {
    await model.dispose();
  }
}

for await (const line of console) {
  let result: Answer;
  try {
    result = await answer(JSON.parse(line) as Request);
  } catch (error) {
    result = { error: String(error) };
  }
  console.log(JSON.stringify(result));
}
process.exit(0);
