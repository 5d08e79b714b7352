// The same as run_kills.test.ts a hundred times. Run on request: see scripts/test.ts.
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { testDevice } from "../kernels/check.ts";
import { workshop } from "./faults.ts";
import { killRuns, trained } from "./run_kills.ts";

setDefaultTimeout(1_800_000);
const device = await testDevice();

test.skipIf(!device)("a hundred kills at random moments of a run", async () => {
  const dir = await workshop();
  try {
    const done = await killRuns(dir, trained(150), { kills: 100, seed: 2026 });
    const { wrong, kills, runs, acknowledged, resumed } = done;
    expect(wrong).toEqual([]);
    expect(kills).toBe(100);
    console.log(
      `${kills} kills, ${acknowledged} checkpoints printed, none lost or damaged; ` +
        `${resumed} sittings resumed; ${runs} runs came to the same bytes`,
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
});
