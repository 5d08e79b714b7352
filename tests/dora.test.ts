// DoRA against PEFT's forward pass written out in float64, and what must hold of it on the device.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { noise, testDevice } from "../kernels/check.ts";
import { add } from "../kernels/add/add.ts";
import { dropoutOp } from "../kernels/dropout/dropout.ts";
import { runReference } from "../kernels/reference.ts";
import { openModel } from "../src/architectures/model.ts";
import { backward } from "../src/graph/backward.ts";
import { Graph, type Op } from "../src/graph/graph.ts";
import { count, type Tensor } from "../src/graph/tensor.ts";
import { linear } from "../src/nn/linear.ts";
import { Net } from "../src/nn/net.ts";
import { start } from "../src/trainer/loop.ts";
import { planRun } from "../src/trainer/plan.ts";
import { prepare, type RunSettings } from "../src/trainer/prepare.ts";
import { tinyModel, tinyRows, tinySettings } from "./tiny.ts";

setDefaultTimeout(120_000);
const device = await testDevice();
const dir = await tinyModel(), model = await openModel(dir);
afterAll(() => rmSync(dir, { recursive: true }));
const gpu = test.skipIf(!device);

type Values = Readonly<Record<"x" | "w" | "a" | "b" | "m" | "bias", Float64Array>>;
const [T, K, N, R, alpha] = [5, 6, 4, 3, 4.5];
const scale = alpha / R;

/** PEFT's DoraLinearLayer.forward, the norm taken at `at` because it is detached. */
function theirs({ x, w, a, b, m, bias }: Values, at: Values, keep: (i: number) => number) {
  const dot = (p: Float64Array, i: number, q: Float64Array, j: number, n: number) => {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += p[i * n + k]! * q[j * n + k]!;
    return sum;
  };
  const norm = Float64Array.from({ length: N }, (_, n) => {
    let sum = 0;
    for (let k = 0; k < K; k++) {
      let v = at.w[n * K + k]!;
      for (let r = 0; r < R; r++) v += scale * at.b[n * R + r]! * at.a[r * K + k]!;
      sum += v * v;
    }
    return Math.sqrt(sum);
  });
  const z = x.map((v, i) => v * keep(i));
  return Float64Array.from({ length: T * N }, (_, i) => {
    const t = Math.floor(i / N), n = i % N, factor = m[n]! / norm[n]!;
    let low = 0;
    for (let r = 0; r < R; r++) low += dot(z, t, a, r, K) * b[n * R + r]!;
    const result = dot(x, t, w, n, K) + bias[n]!;
    return result + (factor - 1) * dot(z, t, w, n, K) + factor * low * scale;
  });
}

/** The sum of y · weights, to have one number whose gradient is asked for. */
const weigh: Op<null> = {
  name: "weigh",
  infer: () => [{ shape: [1], dtype: "f32" }],
  reference: ([y, weights]) => [Float64Array.of(y!.reduce((s, v, i) => s + v * weights![i]!, 0))],
  launch: () => [],
  backward: (_g, { inputs: [, weights] }) => [weights, undefined],
};

for (const p of [0, 0.4]) {
  test(`a layer and its gradients are PEFT's${p ? ", with dropout" : ""}`, () => {
    const g = new Graph();
    const lora = { rank: R, alpha, rslora: false, dropout: p, dora: true, targets: () => true };
    const net = new Net(g, 1, () => "f32", false, lora);
    const x = g.trained("x", [T, K]), weights = g.input("weights", [T, N], "f32");
    const y = linear(net, "q", x, N, { bias: true });
    const loss = g.add(weigh, [y, weights], null)[0]!;
    const grads = new Map<Tensor, Tensor>();
    backward(g, loss, {
      sum: add,
      trained: (t, grad) =>
        grads.set(t, grads.has(t) ? g.add(add, [grads.get(t)!, grad], null)[0]! : grad),
    });
    const next = noise(3),
      draw = (t: Tensor) => Float64Array.from({ length: count(t.shape) }, next);
    const named = new Map([...g.all("trained"), ...g.all("frozen")].map((t) => [t.name, t]));
    const of = {
      x,
      w: named.get("q.weight")!,
      a: named.get("q.lora_A.weight")!,
      b: named.get("q.lora_B.weight")!,
      m: named.get("q.lora_magnitude_vector")!,
      bias: named.get("q.bias")!,
    };
    const values: Values = Object.fromEntries(
      Object.entries(of).map(([key, t]) => [key, draw(t)]),
    ) as unknown as Values;
    const factors = draw(weights), clock = Float64Array.of(7, 2);
    const given = new Map<Tensor, Float64Array>([[weights, factors], [net.clock, clock]]);
    for (const [key, t] of Object.entries(of)) given.set(t, values[key as keyof Values]);
    const after = runReference(g.nodes, given);

    const ones = new Float64Array(T * K).fill(1);
    const mask = p === 0
      ? ones
      : dropoutOp.reference([ones, clock], { p, stream: 0 }, undefined as never)[0]!;
    const formula = (v: Values) => theirs(v, values, (i) => mask[i]!);
    formula(values).forEach((v, i) => expect(Math.abs(v - after.get(y)![i]!)).toBeLessThan(1e-12));
    const total = (v: Values) => formula(v).reduce((s, y, i) => s + y * factors[i]!, 0);
    for (const key of ["x", "a", "b", "m"] as const) {
      const got = after.get(grads.get(of[key])!)!;
      got.forEach((v, i) => {
        const moved = (by: number) => {
          const changed = values[key].slice();
          changed[i]! += by;
          return total({ ...values, [key]: changed });
        };
        const numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        expect(Math.abs(v - numeric)).toBeLessThan(1e-6 * (1 + Math.abs(numeric)));
      });
    }
  });
}

const rows = tinyRows(16);
function begin(change: Partial<RunSettings> = {}, quant?: "nf4" | "int8") {
  const base = quant === "nf4"
    ? { ...model, quant: { type: "nf4", double: true } as const }
    : quant
    ? { ...model, quant: { type: quant } }
    : model;
  const settings = { ...tinySettings, use_dora: true, ...change };
  const prepared = prepare(base, rows, [], ["q_proj", "v_proj", "down_proj"], settings);
  return start(device!, prepared);
}
const each = rows.map((_, i) => [i]);

gpu(
  "a fresh adapter changes nothing, whatever the base is kept in; a trained one does",
  async () => {
    for (const quant of [undefined, "nf4", "int8"] as const) {
      const trainer = await begin({ dropout: 0 }, quant);
      const plain = await begin({ dropout: 0, use_dora: false }, quant);
      const { loss: before } = await trainer.validate(rows, each);
      expect(Math.abs(before / (await plain.validate(rows, each)).loss - 1)).toBeLessThan(1e-7);
      for (let i = 0; i < 10; i++) await trainer.next();
      expect((await trainer.validate(rows, each)).loss).toBeLessThan(before - 1e-3);
      trainer.free();
      plain.free();
    }
  },
);

gpu("recomputing blocks and a restart change no bit", async () => {
  const run = async (change: Partial<RunSettings>, cut?: number) => {
    let trainer = await begin(change);
    for (let i = 0; i < 6; i++) {
      if (i === cut) {
        const saved = await trainer.moments();
        trainer.free();
        trainer = await begin(change);
        trainer.restore(i, saved);
      }
      await trainer.next();
    }
    const state = await trainer.moments();
    trainer.free();
    return state;
  };
  const whole = await run({});
  expect(await run({ grad_checkpoint: "on" })).toEqual(whole);
  expect(await run({}, 3)).toEqual(whole);
  expect([...whole.keys()].filter((name) => name.endsWith("lora_magnitude_vector"))).toHaveLength(
    6,
  );
});

gpu("planned bytes are the bytes that are allocated", async () => {
  const before = device!.bytes;
  const trainer = await begin();
  const planned = planRun(model, trainer.recipe, false).bytes.total;
  expect(Math.abs((device!.bytes - before) / planned - 1)).toBeLessThan(0.01);
  trainer.free();
});
