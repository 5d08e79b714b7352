// Ten thousand steps, measured, saved and tracked, and no memory more. Run on request: see scripts/test.ts.
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { testDevice } from "../kernels/check.ts";
import { workshop } from "./faults.ts";
import { longRun } from "./long_run.ts";

setDefaultTimeout(1_800_000);
const device = await testDevice();
const linux = process.platform === "linux"; // where /proc tells what a process holds

test.skipIf(!device || !linux)("10,000 steps take no more memory than 2,000", async () => {
  const dir = await workshop();
  const often = ["--eval-every", "500", "--save-every", "500", "--report-to", "tensorboard,wandb"];
  const argv = ["train", "sft", "-m", ".", "-d", "rows.jsonl", "--val", "val.jsonl", "--rank", "2"];
  try {
    const more = ["--batch", "4", "--iters", "10000", ...often];
    const { steps, deviceBytes, resident, slope } = await longRun(dir, [...argv, ...more], 500);
    const told = resident.map((bytes) => (bytes / 1e6).toFixed(1)).join(" ");
    console.log(`${(slope / 1e6).toFixed(2)} MB in 10,000 steps; every 500: ${told} MB`);
    expect(steps).toBe(10_000);
    expect(deviceBytes).toHaveLength(1);
    expect(slope).toBeLessThanOrEqual(0.5e6);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
