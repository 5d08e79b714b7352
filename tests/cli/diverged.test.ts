// A run whose numbers leave the range of floats, as a user sees it.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { testDevice } from "../../kernels/check.ts";
import { latestCheckpoint, loadCheckpoint } from "../../src/formats/checkpoint.ts";
import { readRun } from "../../src/report/folder.ts";
import { workshop } from "../faults.ts";
import { whet } from "./run.ts";

setDefaultTimeout(120_000);
const device = await testDevice();
let dir = "";
beforeAll(async () => void (dir = await workshop()));
afterAll(() => rmSync(dir, { recursive: true }));

// The first step has a rate of 0; what the second one makes of the adapter overflows in the third.
const sft = [
  ...["train", "sft", "--json", "-m", ".", "-d", "rows.jsonl", "--batch", "4", "--iters", "20"],
  ...[
    "--target",
    "all-linear",
    "--rank",
    "2",
    "--alpha",
    "1e15",
    "--save-every",
    "1",
    "--keep",
    "2",
  ],
];
const ways: Record<string, string[]> = { LoRA: [], QLoRA: ["--quant", "nf4", "--double-quant"] };

for (const [name, flags] of Object.entries(ways)) {
  test.skipIf(!device)(
    `${name}: not applied, named, ended with 6, the last checkpoint kept`,
    async () => {
      const { code, out, err } = await whet([...sft, ...flags, "-o", name, "--lr", "10"], dir);
      const events = out.trim().split("\n").map((line) => JSON.parse(line));
      const warnings = events.filter((e) => e.code === "WH0601");
      expect([code, warnings.length]).toEqual([6, 3]);
      for (const { message } of warnings) {
        expect(message).toMatch(/^step \d+ was not applied: loss .+; not finite: [\w.]+/);
      }
      expect(err).toContain("3 steps in a row were not finite; none of them was applied");
      expect(err).toContain("fix: lower --lr");
      expect(readRun(join(dir, name)).manifest).toMatchObject({ status: "failed" });
      expect(existsSync(join(dir, name, "adapter_model.safetensors"))).toBe(false);

      const path = await latestCheckpoint(join(dir, name), (message) => expect(message).toBe(""));
      const { step, tensors } = await loadCheckpoint(path!);
      expect(step).toBeGreaterThan(0);
      for (const { w, m, v } of tensors.values()) {
        for (const part of [w, m, v]) expect(part.every(Number.isFinite)).toBe(true);
      }
      // A step whose rate is lower is tried from the weights that are kept.
      const again = [...sft, ...flags, "-o", name, "--resume", "--lr", "1e-30", "--allow-change"];
      expect((await whet(again, dir)).code).toBeOneOf([0, 6]);
    },
  );
}
