/**
 * llama.cpp's Vulkan backend, in a process of its own: one JSON line in for each measurement, one out.
 *
 *   {"prompt":512,"answer":16,"seed":1} -> {"at":[ms, …]}   from the request to each token
 */
export interface Question {
  readonly prompt: number;
  readonly answer: number;
  readonly seed: number;
}

interface Sequence {
  clearHistory(): Promise<void>;
  controlledEvaluate(
    items: [number, { generateNext?: { token: boolean; options: object } }][],
  ): Promise<({ next: { token?: number } } | undefined)[]>;
}
interface Llama {
  readonly gpu: string | false;
  getGpuDeviceNames(): Promise<string[]>;
  loadModel(options: object): Promise<{
    createContext(options: object): Promise<{ getSequence(): Sequence }>;
  }>;
}

const [path, vocab, context] = process.argv.slice(2) as [string, string, string];
// Installed in this folder only, so the name is not known where the repository is type-checked.
const library = "node-llama-cpp";
const { getLlama, LlamaLogLevel } = await import(library) as {
  getLlama(options: object): Promise<Llama>;
  LlamaLogLevel: Record<string, string>;
};
const llama = await getLlama({ gpu: "vulkan", build: "never", logLevel: LlamaLogLevel.error });
if (llama.gpu !== "vulkan") throw new Error("llama.cpp has no Vulkan device");
const model = await llama.loadModel({ modelPath: path, gpuLayers: "max" });
const size = { contextSize: Number(context), batchSize: 512, flashAttention: false };
const sequence = (await model.createContext(size)).getSequence();
console.log(JSON.stringify({ devices: await llama.getGpuDeviceNames() }));

const greedy = { generateNext: { token: true, options: { temperature: 0 } } };
for await (const line of console) {
  const { prompt, answer, seed } = JSON.parse(line) as Question;
  await sequence.clearHistory();
  let input = Array.from(
    { length: prompt },
    (_, i) => (i * 7919 + seed * 104_729) % Number(vocab),
  );
  const began = performance.now(), at: number[] = [];
  while (at.length < answer) {
    const last = input.length - 1;
    const results = await sequence.controlledEvaluate(
      input.map((id, i) => [id, i === last ? greedy : {}]),
    );
    at.push(performance.now() - began);
    input = [results[last]!.next.token!];
  }
  console.log(JSON.stringify({ at }));
}
process.exit(0);
