import { afterAll, expect, test } from "bun:test";
import { checkSaves, clean, saves, violations } from "./power_loss_cases.ts";

afterAll(clean);

test("100 000 power cuts while saving checkpoints: none lost, none damaged", async () => {
  const { states, distinct, wrong } = await violations(await saves(), 1100, checkSaves);
  expect(wrong).toEqual([]);
  expect(states).toBeGreaterThan(100_000);
  console.log(`${states} power cuts, ${distinct} different states, all recoverable`);
}, 1_200_000);
