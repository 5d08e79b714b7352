/** What a device achieves on the two simplest kernels: multiply-adds alone, and moving bytes alone. */
import { grid } from "../../../kernels/common/grid.ts";
import { numbers } from "../../../kernels/common/numbers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Op } from "../../graph/graph.ts";
import { count } from "../../graph/tensor.ts";
import copyCode from "./copy.wgsl" with { type: "text" };
import fmaCode from "./fma.wgsl" with { type: "text" };
import type { Roofline } from "./roofline.ts";
import { type Patience, timeOp } from "./timing.ts";

const CHAINS = 4;

/** [x, (a, b)] -> [y]: four chains of multiply-adds on every number; nothing else. */
export const fma: Op<{ readonly rounds: number }> = {
  name: "fma",
  infer: ([x]) => [x!],
  reference: ([x, pair], { rounds }) => [
    x!.map((v) => {
      let sum = 0;
      for (let c = 0; c < CHAINS; c++) {
        let f = v + c;
        for (let k = 0; k < rounds; k++) f = f * pair![0]! + pair![1]!;
        sum += f;
      }
      return sum;
    }),
  ],
  launch({ inputs: [x, pair], outputs: [y], attrs: { rounds } }) {
    return [{
      shader: { kernel: { file: "src/commands/bench/fma.wgsl", code: fmaCode } },
      workgroups: grid(Math.ceil(count(y!.shape) / 256)),
      bind: [x!, pair!, numbers(rounds), y!],
    }];
  },
  flops: ({ outputs: [y], attrs: { rounds } }) => 2 * CHAINS * rounds * count(y!.shape),
};

/** [x] -> [y] */
export const copy: Op<null> = {
  name: "copy",
  infer: ([x]) => [x!],
  reference: ([x]) => [x!.slice()],
  launch({ inputs: [x], outputs: [y] }) {
    return [{
      shader: { kernel: { file: "src/commands/bench/copy.wgsl", code: copyCode } },
      workgroups: grid(Math.ceil(count(y!.shape) / 256)),
      bind: [x!, y!],
    }];
  },
};

/**
 * Measures both, longer than other kernels: all shares rest on them. Matrix units are not: only their maker's figures are known for
 * them.
 */
export async function measurePeaks(
  device: Device,
  { rounds, seconds }: Patience,
): Promise<Roofline> {
  const patience = { rounds: 3 * rounds, seconds: 3 * seconds };
  const { software, adapter } = device.capabilities;
  const lanes = software ? 2 ** 16 : 2 ** 22, moved = software ? 2 ** 23 : 2 ** 26;
  const pair = { shape: [2], data: Float32Array.of(0.999, 0.001) };
  const arithmetic = await timeOp(device, {
    op: fma,
    attrs: { rounds: 1024 },
    inputs: [{ shape: [lanes] }, pair],
  }, patience);
  const memory = await timeOp(device, {
    op: copy,
    attrs: null,
    inputs: [{ shape: [moved] }],
  }, patience);
  return {
    name: adapter,
    flops: arithmetic.flops / arithmetic.best,
    bandwidth: memory.bytes / memory.best,
    source: "measured here: multiply-adds alone, a copy alone",
    measured: true,
  };
}
