// A run stopped after every one of its steps. Run on request: see scripts/test.ts.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { testDevice } from "../kernels/check.ts";
import { workshop } from "./faults.ts";
import { interrupted, ways } from "./stops.ts";

setDefaultTimeout(1_800_000);
const device = await testDevice();
let dir = "";
beforeAll(async () => void (dir = await workshop()));
afterAll(() => rmSync(dir, { recursive: true }));

const STEPS = 40;
const stops = Array.from({ length: STEPS - 1 }, (_, i) => i + 1);
for (const way of Object.keys(ways)) {
  test.skipIf(!device)(`${way}: stopped after each of ${STEPS} steps, and after all`, async () => {
    const same = await interrupted(dir, device!, way, STEPS, [
      ...stops.map((stop) => [stop]),
      stops,
    ]);
    expect(same).toBe(STEPS);
    console.log(
      `${way}: ${STEPS - 1} of ${STEPS - 1} stops, and ${STEPS} sittings: the same bytes`,
    );
  });
}
