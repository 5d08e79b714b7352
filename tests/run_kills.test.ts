import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { testDevice } from "../kernels/check.ts";
import { workshop } from "./faults.ts";
import { killRuns, trained } from "./run_kills.ts";

setDefaultTimeout(120_000);
const device = await testDevice();
let dir = "";
beforeAll(async () => void (dir = await workshop()));
afterAll(() => rmSync(dir, { recursive: true }));

test.skipIf(!device)(
  "a run that is killed five times comes to its end and to the same bytes",
  async () => {
    const { wrong, kills, runs, resumed } = await killRuns(dir, trained(30), { kills: 5, seed: 7 });
    expect(wrong).toEqual([]);
    expect(kills).toBe(5);
    expect(runs).toBeGreaterThan(0);
    expect(resumed).toBeGreaterThan(0);
  },
);
