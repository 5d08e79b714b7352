// The same as generate_kills.test.ts two hundred times. Run on request: see scripts/test.ts.
import { expect, setDefaultTimeout, test } from "bun:test";
import { killGenerations } from "./generate_kills.ts";

setDefaultTimeout(1_800_000);

test("two hundred kills at random moments of generations", async () => {
  const { wrong, kills, finished, acknowledged, repeated } = await killGenerations(
    200,
    Math.random,
  );
  expect(wrong).toEqual([]);
  expect(kills).toBe(200);
  console.log(
    `${kills} kills, ${acknowledged} rows told of and none lost, ${repeated} calls repeated, ` +
      `${finished} data sets came to their end`,
  );
});
