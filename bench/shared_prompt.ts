/**
 * What computing the prompt of a pair once saves: DPO steps on the same pairs with the prompt once and
 * twice, in turns, so that whatever else the machine does disturbs both.
 *
 *   bun bench/shared_prompt.ts [--model DIR] [--prompt 180] [--answer 60] [--batch 4] [--rounds 12]
 *     [--reference adapter-off] [--json]
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openModel } from "../src/architectures/model.ts";
import { joined } from "../src/data/pairs.ts";
import { Device } from "../src/gpu/device.ts";
import { trainSettings } from "../src/settings/train.ts";
import { start } from "../src/trainer/loop.ts";
import { dpo, type ReferencePolicy } from "../src/trainer/objectives/dpo.ts";
import { prepare } from "../src/trainer/prepare.ts";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: join(import.meta.dir, "../models/micro") },
    prompt: { type: "string", default: "180" },
    answer: { type: "string", default: "60" },
    batch: { type: "string", default: "4" },
    rounds: { type: "string", default: "12" },
    reference: { type: "string", default: "adapter-off" },
    json: { type: "boolean", default: false },
  },
});
const [prompt, answer, batch, rounds] = [flags.prompt, flags.answer, flags.batch, flags.rounds]
  .map(Number) as [number, number, number, number];
const reference = flags.reference as ReferencePolicy;
/** Steps of each kind that are not counted. */
const WARM = 2;

const model = await openModel(flags.model), device = await Device.open();
const ids = (n: number, from: number) =>
  Array.from({ length: n }, (_, i) => 5 + (from + i * 37) % 200);
const sequence = (asked: number[], said: number[]) => ({
  ids: [...asked, ...said],
  labels: [...asked.map(() => -100), ...said],
});
const iters = rounds + WARM;
const settings = trainSettings.parse({ model: "m", data: "d", output: "o", batch, iters });
const objective = dpo({ loss: "sigmoid", beta: 0.1, smoothing: 0, reference });

async function trainer(share: boolean) {
  const rows = Array.from({ length: batch }, (_, i) => {
    const asked = ids(prompt, i);
    const [chosen, rejected] = [ids(answer, 100 + i), ids(answer, 151 + i)];
    return joined(i, sequence(asked, chosen), sequence(asked, rejected), share);
  });
  const targets = model.architecture.defaultTargets;
  const prepared = prepare(model, rows, [], targets, settings, Infinity, objective);
  const made = await start(device, prepared);
  if (reference === "cached") made.compareWith(rows, await made.logps(rows));
  return made;
}

const twice = await trainer(false), once = await trainer(true);
const times = { twice: [] as number[], once: [] as number[] };
/** Processor time: on a software adapter, what the step costs whatever else the machine does. */
const busy = { twice: 0, once: 0 };
for (let round = 0; round < iters; round++) {
  const turns = [["twice", twice], ["once", once]] as const;
  for (const [name, each] of round % 2 ? turns.toReversed() : turns) {
    const began = performance.now(), before = process.cpuUsage();
    await each.next();
    if (round < WARM) continue;
    times[name].push(performance.now() - began);
    const { user, system } = process.cpuUsage(before);
    busy[name] += (user + system) / 1000 / rounds;
  }
}
const median = (all: readonly number[]) => all.toSorted((a, b) => a - b)[all.length >> 1]!;
const ratios = times.twice.map((ms, i) => ms / times.once[i]!);
const result = {
  model: flags.model,
  reference,
  prompt,
  answer,
  batch,
  rounds,
  twice_ms: median(times.twice),
  once_ms: median(times.once),
  best: { twice_ms: Math.min(...times.twice), once_ms: Math.min(...times.once) },
  ratio: median(ratios),
  cpu: { twice_ms: busy.twice, once_ms: busy.once, ratio: busy.twice / busy.once },
};
if (flags.json) console.log(JSON.stringify(result));
else {
  const ms = (n: number) => `${n.toFixed(1)} ms`;
  console.log(
    `prompt ${prompt}, answers ${answer}, ${batch} pairs, reference ${reference}, median of ${rounds}\n` +
      `twice ${ms(result.twice_ms)} (best ${ms(result.best.twice_ms)})\n` +
      `once  ${ms(result.once_ms)} (best ${ms(result.best.once_ms)})\n` +
      `${result.ratio.toFixed(2)} times as fast; processor time ${ms(busy.twice)} and ` +
      `${ms(busy.once)}, ${result.cpu.ratio.toFixed(2)}`,
  );
}
twice.free();
once.free();
device.close();
process.exit(0);
