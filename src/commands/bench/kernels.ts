import type { Capabilities, Device } from "../../gpu/device.ts";
import type { BenchCase } from "./cases.ts";
import type { KernelResult } from "./results.ts";
import { bound, type Roofline } from "./roofline.ts";
import { type Patience, timeOp } from "./timing.ts";

/** How long one kernel is measured, unless a person says otherwise. */
export const patienceOf = (software: boolean, rounds?: number): Patience => ({
  rounds: rounds ?? (software ? 5 : 20),
  seconds: software ? 0.3 : 1,
});

/** Times one kernel and compares it with the roofline. @throws Fail as Device does */
export async function measureCase(
  device: Device,
  { group, name, shape, work, flops: counted }: BenchCase,
  roof: Roofline,
  patience: Patience,
  can?: Capabilities,
): Promise<KernelResult> {
  const t = await timeOp(device, work, patience, can);
  const flops = counted ?? t.flops;
  return {
    group,
    name,
    shape,
    n: t.n,
    median_s: t.median,
    best_s: t.best,
    deviation_s: t.deviation,
    first_s: t.first,
    ...(t.cpu === undefined ? {} : { cpu_s: t.cpu }),
    ...(flops > 0 ? { flops_s: flops / t.median } : {}),
    bytes_s: t.bytes / t.median,
    share: bound(roof, flops, t.bytes) / t.median,
    ...(roof.matrixFlops && flops > 0
      ? { share_matrix: bound(roof, flops, t.bytes, true) / t.median }
      : {}),
    files: t.kernels,
  };
}
