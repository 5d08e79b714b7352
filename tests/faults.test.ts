// What a run does when its GPU fails: a few of the moments; faults.deep.ts takes them all.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { Exit } from "../src/base/fail.ts";
import { openSafetensors } from "../src/formats/safetensors.ts";
import { attempt, type Outcome, workshop } from "./faults.ts";
import { budgets, lost, outOfMemory, poisoned, sound } from "./faults_cases.ts";

setDefaultTimeout(300_000);
const device = await testDevice();
const gpu = test.skipIf(!device);
let dir = "";
let whole: Outcome;

beforeAll(async () => {
  dir = await workshop();
  if (device) whole = await sound(dir, device);
});
afterAll(() => rmSync(dir, { recursive: true }));

gpu(
  "the device is lost at each kind of submit: nothing is written then, resuming gives the same bits",
  async () => {
    const kinds = [...new Set(whole.submits)].map((label) => whole.submits.indexOf(label) + 1);
    expect(kinds.length).toBeGreaterThan(6);
    // Of what happens twice, the later one too where a checkpoint is there to resume from.
    for (const n of [...kinds, whole.submits.length]) await lost(dir, device!, whole, n);
  },
);

gpu("an allocation fails: once more with less, or exit 5 and nothing half-written", async () => {
  for (const n of [1, 2, Math.ceil(whole.allocations / 2), whole.allocations]) {
    expect(await outOfMemory(dir, { failAllocation: n })).toBe(true);
  }
});

gpu("memory ends at a byte budget", async () => {
  for (const budget of budgets(whole.peakBytes, 3)) {
    expect(await outOfMemory(dir, { budget })).toBe(true);
  }
});

gpu(
  "a NaN in a base weight, a trained weight, or a running sum is named and never applied",
  async () => {
    const weight = "model.layers.1.mlp.down_proj.weight";
    const adapter = "model.layers.0.self_attn.q_proj.lora_A.weight";
    await poisoned(dir, device!, whole, `frozen ${weight}`, weight);
    await poisoned(dir, device!, whole, "arena w.0", adapter);
    await poisoned(dir, device!, whole, "arena g.0", `gradient of ${adapter}`);
    await poisoned(dir, device!, whole, "state loss", undefined);
  },
);

gpu("a value that overflows is named", async () => {
  const path = join(dir, "model.safetensors"), kept = readFileSync(path);
  const { tensors } = openSafetensors(path);
  const bytes = new DataView(Uint8Array.from(kept).buffer);
  for (const name of ["gate_proj", "up_proj"]) {
    const { offset, bytes: size } = tensors.get(`model.layers.1.mlp.${name}.weight`)!;
    for (let at = offset; at < offset + size; at += 4) {
      bytes.setFloat32(at, 1e20 * bytes.getFloat32(at, true), true);
    }
  }
  writeFileSync(path, bytes);
  const { error, events } = await attempt(dir, "overflow", device!);
  writeFileSync(path, kept);
  expect(error).toMatchObject({ exit: Exit.diverged });
  const warning = events.find(({ code }) => code === "WH0601");
  expect(warning!.message).toContain("not finite: model.layers.1.mlp.silu_mul;");
});
