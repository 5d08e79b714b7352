import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { testDevice } from "../../kernels/check.ts";
import { loadWeights, type Model, openModel } from "../architectures/model.ts";
import { Exit } from "../base/fail.ts";
import { Device } from "../gpu/device.ts";
import { Memory } from "../graph/memory.ts";
import { tinyModel } from "../../tests/tiny.ts";
import type { Grammar } from "../text/grammar/constraint.ts";
import { Generator, type GeneratorSize, type Sampling } from "./generator.ts";

const device = await testDevice();
const greedy: Sampling = { temperature: 0, topP: 1, seed: 3 };
const warm: Sampling = { temperature: 1, topP: 0.9, topK: 50, seed: 3, repetitionPenalty: 1.1 };
const none = new Set<number>();

describe.skipIf(!device)("generating", () => {
  let dir: string, model: Model;
  beforeAll(async () => {
    dir = await tinyModel();
    model = await openModel(dir);
  });
  afterAll(async () => {
    model.folder.close();
    await rm(dir, { recursive: true });
  });

  async function generating<T>(size: GeneratorSize, work: (g: Generator) => Promise<T>) {
    const memory = new Memory(device!);
    await loadWeights(model, memory, Generator.tensors(model).frozen);
    const generator = await Generator.create(model, memory, size);
    try {
      return await work(generator);
    } finally {
      generator.free();
      memory.free();
    }
  }

  const prompt = (n: number, from = 0) =>
    Array.from({ length: n }, (_, i) => (from + i * 37) % 300);
  const asked = [3, 40, 7, 1, 65, 12].map((n, i) => ({
    ids: prompt(n, i),
    maxTokens: 5 + 9 * i % 30,
  }));

  test("answers are the same alone and among others, however few pages there are", async () => {
    for (const sampling of [greedy, warm]) {
      const size = { slots: 1, context: 128, prefill: 128 };
      const alone = await generating(size, async (g) => {
        const all = [];
        for (const [stream, request] of asked.entries()) {
          all.push(await g.submit({ ...request, stop: none, sampling, stream }).answer);
        }
        return all.map(({ ids }) => ids);
      });
      expect(alone.map((ids) => ids.length)).toEqual(asked.map(({ maxTokens }) => maxTokens));
      // 160 keys for prompts and answers of up to 115: some wait for pages, and get them in other orders.
      const together = await generating(
        { slots: 4, context: 128, prefill: 16, cache: 160, ahead: 3 },
        async (g) => {
          const all = await Array.fromAsync(g.answers(asked, none, sampling));
          expect([g.running, g.waiting]).toEqual([0, 0]);
          return all.map(({ ids }) => ids);
        },
      );
      expect(together).toEqual(alone);
    }
  });

  test("tokens come one by one; stop ids and cancelling end an answer, others go on", async () => {
    await generating({ slots: 2, context: 128, prefill: 32, ahead: 2 }, async (g) => {
      const ask = { ids: prompt(9), maxTokens: 40, stop: none, sampling: warm };
      const whole = await g.submit(ask).answer;
      const at = whole.ids.findIndex((id, i) => i > 5 && whole.ids.indexOf(id) === i);
      const stopped = g.submit({ ...ask, stop: new Set([whole.ids[at]!]) });
      const cancelled = g.submit(ask), other = g.submit({ ...ask, stream: 1 });
      const seen: number[] = [];
      for await (const id of cancelled) {
        seen.push(id);
        if (seen.length === 3) cancelled.cancel();
      }
      expect(seen.slice(0, 3)).toEqual(whole.ids.slice(0, 3));
      expect((await cancelled.answer).finish).toBe("cancelled");
      expect(await stopped.answer).toMatchObject({ ids: whole.ids.slice(0, at), finish: "stop" });
      expect((await other.answer).finish).toBe("length");
      expect((await other.answer).ids).not.toEqual(whole.ids);
      const waits = g.submit(ask);
      waits.cancel();
      expect((await waits.answer).ids).toEqual([]);
      await g.idle();
      expect([g.running, g.waiting]).toEqual([0, 0]);
    });
  });

  test("a long prompt does not hold up who is being answered", async () => {
    await generating({ slots: 2, context: 256, prefill: 8 }, async (g) => {
      const ask = { stop: none, sampling: greedy };
      const talking = { ...ask, ids: prompt(5), maxTokens: 100 };
      const long = { ...ask, ids: prompt(160, 7), maxTokens: 4 };
      const alone = [await g.submit(talking).answer, await g.submit(long).answer];
      const first = g.submit(talking);
      let told = 0, second: typeof first | undefined, before = 0, meanwhile = 0;
      const listening = (async () => {
        for await (const _ of first) {
          if (++told !== 3) continue;
          before = told;
          second = g.submit(long);
          void second[Symbol.asyncIterator]().next().then(() => meanwhile = told - before);
        }
      })();
      await listening;
      // 20 runs of 8 tokens, each followed by a step.
      expect([meanwhile >= 18, meanwhile <= 24]).toEqual([true, true]);
      expect([await first.answer, await second!.answer].map(({ ids }) => ids)).toEqual(
        alone.map(({ ids }) => ids),
      );
    });
  });

  test("who is cancelled while its prompt is computed leaves its place", async () => {
    await generating({ slots: 2, context: 256, prefill: 8 }, async (g) => {
      const ask = { stop: none, sampling: greedy };
      const first = g.submit({ ...ask, ids: prompt(5), maxTokens: 40 });
      const long = g.submit({ ...ask, ids: prompt(200, 7), maxTokens: 4 });
      const waits = g.submit({ ...ask, ids: prompt(9), maxTokens: 5 });
      let told = 0;
      for await (const _ of first) if (++told === 4) long.cancel();
      expect(await long.answer).toMatchObject({ ids: [], finish: "cancelled" });
      expect((await waits.answer).ids).toEqual(
        (await g.submit({ ...ask, ids: prompt(9), maxTokens: 5 }).answer).ids,
      );
      await g.idle();
      expect([g.running, g.waiting]).toEqual([0, 0]);
    });
  });

  test("when the device is lost every request is told, those that wait too", async () => {
    const own = await Device.open({ faults: { loseAtSubmit: 9 } });
    const memory = new Memory(own);
    await loadWeights(model, memory, Generator.tensors(model).frozen);
    const g = await Generator.create(model, memory, { slots: 1, context: 64, prefill: 32 });
    const ask = { ids: prompt(5), maxTokens: 30, stop: none, sampling: greedy };
    const [first, second] = [g.submit(ask), g.submit(ask)];
    const seen: number[] = [];
    const listening = (async () => {
      for await (const id of first) seen.push(id);
    })();
    await expect(listening).rejects.toMatchObject({ exit: Exit.gpu });
    await expect(second.answer).rejects.toMatchObject({ exit: Exit.gpu });
    expect(seen.length).toBeLessThan(9);
    await g.idle();
    own.close();
  });

  test("who stops listening leaves nothing behind; prompts that are too long are refused", async () => {
    await generating({ slots: 2, context: 64, prefill: 32 }, async (g) => {
      for await (const { ids } of g.answers(asked.slice(2, 4), none, greedy)) {
        expect(ids.length).toBeGreaterThan(0);
        break;
      }
      expect([g.running, g.waiting]).toEqual([0, 0]);
      const long = { ids: prompt(64), maxTokens: 4, stop: none, sampling: greedy };
      expect(() => g.submit(long)).toThrow("the prompt has 64 tokens; 1 to 63 fit");
      expect(() => g.submit({ ...long, ids: [] })).toThrow("the prompt has 0 tokens");
    });
  });

  test("a grammar that fails ends its own request, and leaves its place to others", async () => {
    for (const [most, at] of [[0, "mask"], [1, "take"], [3, "take"]] as const) {
      let left: number = most;
      const broken = () => {
        if (left-- === 0) throw new RangeError("too deep");
      };
      const mask = new Uint32Array(Math.ceil(model.sizes.vocab / 32)).fill(0xffffffff);
      const constraint = {
        done: false,
        mask: () => (at === "mask" && broken(), mask),
        take: (id: number) => (at === "take" && broken(), id),
      };
      const grammar = { begin: () => constraint } as unknown as Grammar;
      await generating({ slots: 2, context: 64, prefill: 32 }, async (g) => {
        const ask = { ids: prompt(5), maxTokens: 59, stop: none, sampling: greedy };
        const alone = await g.submit(ask).answer;
        const [bad, good] = [g.submit({ ...ask, grammar }), g.submit(ask)];
        await expect(bad.answer).rejects.toThrow("too deep");
        expect((await good.answer).ids).toEqual(alone.ids);
        // Two that need all pages: none was lost.
        const again = await Promise.all([g.submit(ask).answer, g.submit(ask).answer]);
        for (const { ids } of again) expect(ids).toEqual(alone.ids);
      });
    }
  });
});
