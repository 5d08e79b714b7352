import { expect, test } from "bun:test";
import { killsDuringSaves } from "./kills.ts";

test("2000 kills while saving checkpoints: none lost, none damaged", async () => {
  const result = await killsDuringSaves({ kills: 2000, milliseconds: 600_000 });
  const { kills, steps, lost, invalid } = result;
  expect({ lost, invalid }).toEqual({ lost: [], invalid: [] });
  console.log(`${kills} kills, ${steps} checkpoints saved, none lost`);
}, 700_000);
