import { expect, test } from "bun:test";
import { checkKernel, testDevice } from "../../../kernels/check.ts";
import { copy, fma, measurePeaks } from "./peaks.ts";
import { timeOp } from "./timing.ts";

test("the kernels that measure the peaks compute what they say, whatever the size", async () => {
  for (const n of [4, 252, 256, 4100]) {
    const x = { shape: [n] };
    await checkKernel({ op: copy, attrs: null, inputs: [x] });
    // Three roundings at most in a step, each shrunk by the steps that follow: no more than 3 / (1 - a).
    const pair = { shape: [2], data: [0.75, 0.5] };
    await checkKernel({ op: fma, attrs: { rounds: 37 }, inputs: [x, pair] }, {
      bound: () => 12 * 8 * 2 ** -24 * 4,
    });
  }
});

test("twice the rounds take longer: nothing is left out", async () => {
  const device = await testDevice();
  if (!device) return;
  const time = async (rounds: number) => {
    const inputs = [{ shape: [65536] }, { shape: [2], data: Float32Array.of(0.999, 0.001) }];
    const work = { op: fma, attrs: { rounds }, inputs };
    return (await timeOp(device, work, { rounds: 5, seconds: 1 })).best;
  };
  expect(await time(4096) / await time(512)).toBeGreaterThan(3);
  const { flops, bandwidth } = await measurePeaks(device, { rounds: 3, seconds: 0.1 });
  expect(flops).toBeGreaterThan(1e8);
  expect(bandwidth).toBeGreaterThan(1e7);
});
