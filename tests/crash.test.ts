import { expect, test } from "bun:test";
import { killsDuringSaves } from "./kills.ts";

test("a program killed while saving checkpoints never loses one it has reported", async () => {
  const { kills, steps, lost, invalid } = await killsDuringSaves({ kills: 30, milliseconds: 6000 });
  expect({ lost, invalid }).toEqual({ lost: [], invalid: [] });
  expect(kills).toBeGreaterThan(5);
  expect(steps).toBeGreaterThanOrEqual(kills);
  console.log(`${kills} kills, ${steps} checkpoints saved, none lost`);
}, 30_000);
