import { existsSync } from "node:fs";
import { basename, resolve } from "node:path";
import { Beside } from "../architectures/beside.ts";
import { Exit, Fail } from "../base/fail.ts";
import { Embedder } from "../evaluate/embed.ts";
import { Generator } from "../generate/generator.ts";
import type { Memory } from "../graph/memory.ts";
import { invalid } from "../serve/api/errors.ts";
import type { Served } from "../serve/api/served.ts";
import type { ServeSettings } from "../settings/serve.ts";
import { baseAndAdapter } from "./adapted.ts";
import type { Io } from "./io.ts";
import { type Loaded, openBoth, type Opened, unlikeTold } from "./loaded.ts";
import { promptOf as trainedUnder } from "./prompt_check.ts";
import { encode, limitOf, promptOf, sentenceConfig } from "./sentences.ts";
import { instructionOf } from "./tasks.ts";
import type { Texts } from "./texts.ts";

/** An adapter and the name it is served under. */
export interface Named {
  readonly name: string;
  readonly dir: string;
}

/**
 * What -m and -a name: the base, and its adapters by name. Where -m is an adapter or a run its base is
 * served beside it.
 * @throws Fail (usage) where two have one name
 */
export async function namedModels(
  { model, adapter, name }: Pick<ServeSettings, "model" | "adapter" | "name">,
): Promise<{ readonly base: string; readonly adapters: readonly Named[] }> {
  const found = await baseAndAdapter({ model });
  const given = adapter.map((text) => {
    // A folder may have = in its name.
    const [, name, dir] = (existsSync(text) ? undefined : /^([^=]+)=(.+)$/.exec(text)) ?? [];
    return name !== undefined ? { name, dir: dir! } : { name: nameOf(text), dir: text };
  });
  const own = found.adapter === undefined
    ? []
    : [{ name: nameOf(found.adapter), dir: found.adapter }];
  const adapters = [...own, ...given];
  const names = [name, ...adapters.map((one) => one.name)];
  const twice = names.find((one, i) => names.indexOf(one) < i);
  if (twice === undefined) return { base: found.model, adapters };
  throw new Fail(`two models would be named ${twice}`, {
    why: `the names are ${names.join(", ")}`,
    fix: "name each: -a NAME=DIR, and the model without adapter with --name",
    exit: Exit.usage,
  });
}

const nameOf = (dir: string) => basename(resolve(dir));

/** Tokens and sentences of one run of embeddings. */
const TOKENS = 512, SENTENCES = 64;

/** Models that are served, over one copy of the base's weights. */
export class ServedModels {
  readonly byName = new Map<string, Served>();
  readonly #free: (() => void)[] = [];

  private constructor(
    readonly base: Loaded,
    readonly texts: Texts,
    readonly settings: ServeSettings,
  ) {}

  /**
   * Builds what each model needs. An adapter costs its own weights, cache and working memory; the base's
   * weights are there once.
   * @param base the base on the device
   * @throws Fail (data) for an adapter that does not fit, (memory) where it is too much
   */
  static async create(
    base: Loaded,
    baseDir: string,
    adapters: readonly Named[],
    texts: Texts,
    settings: ServeSettings,
    io: Io,
  ): Promise<ServedModels> {
    const all = new ServedModels(base, texts, settings);
    try {
      // The first is what is meant where a request names none.
      for (const { name, dir } of adapters) {
        io.progress(`building ${name}`);
        const opened = await openBoth({ ...settings, model: baseDir, adapter: dir });
        all.#free.push(() => opened[Symbol.dispose]());
        unlikeTold(opened, io);
        const memory = new Beside(base.memory, "frozen");
        all.#free.push(() => memory.free());
        const { trained } = tensorsOf(opened);
        memory.layOut(trained);
        for (const t of trained) memory.write(t, opened.adapter!.tensors.get(t.name)!.data);
        await all.#add({ name, parent: settings.name, opened, memory, baseDir, dir });
      }
      io.progress(`building ${settings.name}`);
      await all.#add({ name: settings.name, opened: base, memory: base.memory, baseDir });
      io.progress();
      return all;
    } catch (error) {
      all.free();
      if (!(error instanceof Fail) || error.exit !== Exit.memory) throw error;
      throw new Fail("the models do not fit in the memory of the GPU together", {
        why: error.message,
        fix: "fewer adapters, or a smaller cache: --slots 4 --context 2048",
        exit: Exit.memory,
        cause: error,
      });
    }
  }

  async #add(
    { name, parent, opened, memory, baseDir, dir }: {
      readonly name: string;
      readonly parent?: string;
      readonly opened: Opened;
      readonly memory: Memory;
      readonly baseDir: string;
      readonly dir?: string;
    },
  ): Promise<void> {
    const { model, adapted } = opened, { slots } = this.settings;
    const embedsOnly = model.architecture.bidirectional === true;
    const context = Math.min(model.sizes.context, this.settings.context);
    let generator: Generator | undefined;
    if (!embedsOnly) {
      const prefill = Math.min(memory.device.capabilities.software ? 128 : 512, context);
      generator = await Generator.create(model, memory, { slots, context, prefill }, adapted);
      this.#free.push(() => generator!.free());
      // Kernels are compiled and weights touched before the first client waits for them.
      const stop = new Set<number>(), sampling = { temperature: 0, topP: 1, seed: 0 };
      await generator.submit({ ids: [0], maxTokens: 2, stop, sampling }).answer;
    }
    const embed = embedsOnly || this.settings.embeddings
      ? await this.#embedding(opened, memory, baseDir, dir)
      : undefined;
    this.byName.set(name, {
      name,
      parent,
      tokenizer: this.texts.tokenizer,
      template: this.texts.template,
      generator,
      context,
      vocab: model.sizes.vocab,
      trained: trainedUnder({ model: baseDir, adapter: dir })?.trained,
      embed,
    });
  }

  /** What makes embeddings, one request after the other. */
  async #embedding(
    opened: Opened,
    under: Memory,
    path: string,
    adapter?: string,
  ): Promise<NonNullable<Served["embed"]>> {
    const { model, adapted } = opened, { tokenizer } = this.texts, { settings } = this;
    const config = sentenceConfig({ model: path, adapter, pooling: settings.pooling }, model);
    const limit = limitOf(config, model, settings.context);
    const prompt = promptOf({}, config, instructionOf(model, settings.task));
    const memory = new Beside(under, "all");
    this.#free.push(() => memory.free());
    const size = { tokens: Math.max(TOKENS, limit), sentences: SENTENCES };
    const embedder = await Embedder.create(model, memory, size, config, adapted);
    this.#free.push(() => embedder.free());
    await embedder.embed([{ ids: [0] }]);
    let turn: Promise<unknown> = Promise.resolve();
    return (inputs) => {
      const sentences = inputs.map((given, i) => {
        if (typeof given === "string") {
          return encode(given, { tokenizer, config, limit, prompt });
        }
        const outside = given.find((id) => id >= model.sizes.vocab);
        if (outside !== undefined) {
          throw invalid(`input ${i}: id ${outside} is outside the vocabulary`, "input");
        }
        return { ids: given, cut: given.length > limit };
      });
      for (const [i, { ids, cut }] of sentences.entries()) {
        if (ids.length === 0) throw invalid(`input ${i} has no tokens`, "input");
        if (!cut) continue;
        const message = `input ${i} has more than ${limit} tokens`;
        throw invalid(message, "input", "context_length_exceeded");
      }
      const tokens = sentences.reduce((sum, { ids }) => sum + ids.length, 0);
      const work = turn.then(async () => {
        const vectors: Float32Array[] = [];
        for await (const vector of embedder.embeddings(sentences)) vectors.push(vector);
        return { vectors, tokens };
      });
      turn = work.catch(() => {});
      return work;
    };
  }

  free(): void {
    for (const free of this.#free.splice(0).reverse()) free();
  }
}

/** Which weights a model needs on the device. */
export const tensorsOf = ({ model, adapted }: Pick<Opened, "model" | "adapted">) =>
  (model.architecture.bidirectional ? Embedder : Generator).tensors(model, adapted);
