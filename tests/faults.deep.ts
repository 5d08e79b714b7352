// The same as faults.test.ts at every submit and every allocation. Run on request: see scripts/test.ts.
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { testDevice } from "../kernels/check.ts";
import { workshop } from "./faults.ts";
import { budgets, lost, outOfMemory, poisoned, sound } from "./faults_cases.ts";

setDefaultTimeout(1_200_000);
const device = await testDevice();

test.skipIf(!device)(
  "every submit, every allocation, thirty budgets, every base weight",
  async () => {
    const dir = await workshop();
    try {
      const whole = await sound(dir, device!);
      for (let n = 1; n <= whole.submits.length; n++) await lost(dir, device!, whole, n);
      let n = 1;
      while (await outOfMemory(dir, { failAllocation: n })) n++;
      expect(n).toBe(whole.allocations + 1);
      for (const budget of budgets(whole.peakBytes, 30)) {
        expect(await outOfMemory(dir, { budget })).toBe(true);
      }
      expect(await outOfMemory(dir, { budget: whole.peakBytes })).toBe(false);
      for (const layer of [0, 1]) {
        for (
          const part of ["self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "input_layernorm"]
        ) {
          const weight = `model.layers.${layer}.${part}.weight`;
          await poisoned(dir, device!, whole, `frozen ${weight}`, weight);
        }
      }
      for (const weight of ["model.embed_tokens.weight", "model.norm.weight"]) {
        await poisoned(dir, device!, whole, `frozen ${weight}`, weight);
      }
    } finally {
      rmSync(dir, { recursive: true });
    }
  },
);
