import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Device } from "../../gpu/device.ts";
import { numerics } from "./numerics.ts";

setDefaultTimeout(120_000);
const open = (faults = {}) => Device.open({ faults }).catch(() => undefined);

test("every kernel of the project is run and is right on this device", async () => {
  const device = await open();
  if (!device) return console.warn("SKIPPED: no GPU adapter");
  const found = await numerics(device, () => {});
  expect(found.filter(({ ok }) => !ok)).toEqual([]);
  const folders = readdirSync(join(import.meta.dir, "../../../kernels"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "common").map(({ name }) => name);
  const missing = folders.filter((name) => !found.some(({ op }) => op.includes(name)));
  // scale is only recorded where a model asks for it
  expect(missing.filter((name) => name !== "scale")).toEqual([]);
  device.close();
});

test("a device that gives zeros for one kernel is found out, by the kernel's name", async () => {
  const device = await open({ zero: "check rope slot 0" });
  if (!device) return console.warn("SKIPPED: no GPU adapter");
  const found = await numerics(device, () => {});
  expect(found.filter(({ ok }) => !ok).map(({ op }) => op)).toEqual(["rope"]);
  device.close();
});
