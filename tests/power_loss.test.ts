import { afterAll, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import { writeFile } from "../src/base/durable.ts";
import { type LoraConfig, loraDefaults, readAdapter, writeAdapter } from "../src/formats/peft.ts";
import type { Operation } from "./power_loss.ts";
import { checkSaves, clean, saves, start, violations, without } from "./power_loss_cases.ts";

afterAll(clean);

test("checkpoints: no promised one is lost, no damaged one is visible", async () => {
  const recording = await saves();
  const { states, distinct, wrong } = await violations(recording, 15, checkSaves);
  expect(wrong).toEqual([]);
  expect(distinct).toBeGreaterThan(60);
  console.log(`${states} power cuts, ${distinct} different states, all recoverable`);
}, 30_000);

test("the simulation finds each forgotten sync of a checkpoint", async () => {
  const recording = await saves();
  const { operations } = recording;
  const forgotten: Record<string, (o: Operation, i: number) => boolean> = {
    "of files": (o) => o.kind === "sync" && !o.isFolder,
    "of folders": (o) => o.kind === "sync" && o.isFolder,
    "of the manifests only": (o, i) =>
      o.kind === "sync" && !o.isFolder && operations.slice(0, i).findLast((p) =>
          p.kind === "write"
        ) !==
        undefined &&
      isManifest(operations.slice(0, i).findLast((p) => p.kind === "write")!),
    "before a rename": (o, i) => o.kind === "sync" && o.isFolder && isRename(operations[i + 1]),
    "after a rename": (o, i) => o.kind === "sync" && o.isFolder && isRename(operations[i - 1]),
  };
  for (const [what, forget] of Object.entries(forgotten)) {
    const forgetful = without(recording, forget);
    expect([what, forgetful.operations.length < operations.length]).toEqual([what, true]);
    const { wrong } = await violations(forgetful, 15, checkSaves, true);
    expect([what, wrong.length > 0]).toEqual([what, true]);
  }
}, 60_000);

function isRename(o: Operation | undefined): boolean {
  return o?.kind === "names" && o.set.length === 2;
}
function isManifest(o: Operation): boolean {
  return o.kind === "write" && new TextDecoder().decode(o.bytes).includes('"format":1');
}

test("a file that is replaced: the promised content or a newer one", async () => {
  const recording = await start((folder) => async (promise) => {
    for (let i = 1; i <= 4; i++) {
      await writeFile(join(folder, "a"), String(i).repeat(1500));
      promise(String(i));
    }
  });
  const check = async (folder: string, promise: string | undefined) => {
    const path = join(folder, "a");
    if (!fs.existsSync(path)) return promise === undefined ? undefined : "the file is gone";
    const text = fs.readFileSync(path, "utf8");
    const version = Number(text[0]);
    if (text !== String(version).repeat(1500)) return "mixed or cut content";
    return version < Number(promise ?? 0) ? "an older content" : await undefined;
  };
  const { distinct, wrong } = await violations(recording, 40, check);
  expect(wrong).toEqual([]);
  expect(distinct).toBeGreaterThan(20);
  for (const isFolder of [true, false]) {
    const forgetful = without(recording, (o) => o.kind === "sync" && o.isFolder === isFolder);
    expect((await violations(forgetful, 30, check, true)).wrong.length).toBeGreaterThan(0);
  }
});

test("an adapter that is replaced: never new weights under an old config", async () => {
  const config = (lora_alpha: number): LoraConfig => (
    { ...loraDefaults, r: 1, lora_alpha, target_modules: ["q"] }
  );
  const recording = await start((folder) => async (promise) => {
    for (let i = 1; i <= 3; i++) {
      const data = new Float32Array(4).fill(i);
      await writeAdapter(
        folder,
        config(i),
        new Map([
          ["q.lora_A.weight", { shape: [1, 4], data }],
          ["q.lora_B.weight", { shape: [4, 1], data }],
        ]),
      );
      promise(String(i));
    }
  });
  const check = async (folder: string) => {
    if (!fs.existsSync(join(folder, "adapter_config.json"))) return undefined;
    const { config: { lora_alpha }, tensors } = await readAdapter(folder);
    const value = tensors.get("q.lora_A.weight")!.data[0];
    return value === lora_alpha ? undefined : `weights ${value} under config ${lora_alpha}`;
  };
  const { distinct, wrong } = await violations(recording, 20, check);
  expect(wrong).toEqual([]);
  expect(distinct).toBeGreaterThan(20);
});
