// A step in submits of a few milliseconds gives the bits of a step in one.
import { afterAll, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { testDevice } from "../kernels/check.ts";
import { openModel } from "../src/architectures/model.ts";
import { Device } from "../src/gpu/device.ts";
import { start } from "../src/trainer/loop.ts";
import { prepare } from "../src/trainer/prepare.ts";
import { tinyModel, tinyRows, tinySettings } from "./tiny.ts";

const there = await testDevice();
const dir = await tinyModel(), model = await openModel(dir);
afterAll(() => rmSync(dir, { recursive: true }));

async function run(device: Device) {
  const { submit } = device, many: number[] = [];
  let step = 0;
  device.submit = (label, commands) => {
    if (label === "step") many[step] = (many[step] ?? 0) + 1;
    submit.call(device, label, commands);
  };
  const prepared = prepare(model, tinyRows(24), [], ["q_proj", "v_proj"], tinySettings);
  const trainer = await start(device, prepared);
  const losses: number[] = [];
  for (; step < 6; step++) losses.push((await trainer.next()).loss);
  const moments = await trainer.moments();
  trainer.free();
  Object.assign(device, { submit });
  return { result: { losses, moments }, many };
}

test.skipIf(!there)("submits in turn, few dispatches first, without changing a bit", async () => {
  const whole = await run(there!);
  const paced = await Device.open({ submitLimit: 100_000 });
  const hurried = await Device.open({ submitLimit: 1e-3 });
  try {
    const slowly = await run(paced), quickly = await run(hurried);
    expect(slowly.result).toEqual(whole.result);
    expect(quickly.result).toEqual(whole.result);
    // Began with four dispatches a submit, and joined them when nothing was slow.
    expect(slowly.many[0]).toBeGreaterThan(10);
    expect(slowly.many.at(-1)).toBe(whole.many[0]!);
    // Nothing is fast enough: one dispatch a submit, each measured.
    expect(quickly.many.at(-1)).toBeGreaterThan(3 * quickly.many[0]!);
  } finally {
    paced.close();
    hurried.close();
  }
});
