import { expect, test } from "bun:test";
import { Exit, Fail } from "../base/fail.ts";
import { requireMemory } from "./plan.ts";

test("a run that needs more memory than there is is refused, part by part", () => {
  const GiB = 2 ** 30;
  const bytes = {
    weights: 6 * GiB,
    adapter: GiB / 4,
    gradients: GiB / 4,
    optimizer: GiB / 2,
    activations: 9 * GiB,
    scratch: 0,
    total: 16 * GiB,
  };
  expect(() => requireMemory(bytes, 16 * GiB)).not.toThrow();
  let refusal: unknown;
  try {
    requireMemory(bytes, 16 * GiB - 1);
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toBeInstanceOf(Fail);
  expect(refusal).toMatchObject({
    exit: Exit.memory,
    message: "this run needs 16.0 GiB of memory, this machine has 16.0 GiB",
    why: expect.stringMatching(/^weights +6\.00 GiB\nadapter +256 MiB\n(.+\n)+total +16\.0 GiB$/),
    fix: expect.stringContaining("--grad-checkpoint on, a smaller --max-seq, or a smaller --batch"),
  });
});
