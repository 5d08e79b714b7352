import { expect, setDefaultTimeout, test } from "bun:test";
import { killGenerations } from "./generate_kills.ts";

setDefaultTimeout(120_000);

test("a generation that is killed repeats at most one call and loses no row it told of", async () => {
  const { kills, wrong, acknowledged } = await killGenerations(5, Math.random);
  expect(wrong).toEqual([]);
  expect(kills).toBe(5);
  expect(acknowledged).toBeGreaterThan(0);
});
