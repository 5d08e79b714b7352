// The disk fills up while a run saves: what was saved before is there and whole, and the run can go on.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { disk } from "../src/base/disk.ts";
import { Exit } from "../src/base/fail.ts";
import { readFolder } from "../src/base/folder.ts";
import { listCheckpoints } from "../src/formats/checkpoint.ts";
import { readRun } from "../src/report/folder.ts";
import { bare } from "./cli/run.ts";
import { attempt, type Outcome, workshop } from "./faults.ts";

setDefaultTimeout(120_000);
const device = await testDevice();
const gpu = test.skipIf(!device);
let dir = "";
beforeAll(async () => void (dir = await workshop()));
afterAll(() => rmSync(dir, { recursive: true }));

const often = { save_every: 1, keep: 9, iters: 3 };
const end = ({ events }: Outcome) => events.find(({ event }) => event === "end");

/** Every visible checkpoint is whole, and nothing lies beside them. */
async function sound(out: string): Promise<number[]> {
  const saved = listCheckpoints(out);
  for (const { path } of saved) await readFolder(path);
  const names = saved.map(({ step }) => `step-${step}`);
  expect(readdirSync(join(out, "checkpoints")).sort()).toEqual(names.sort());
  return saved.map(({ step }) => step);
}

gpu("any write of a checkpoint may be the one that fails", async () => {
  const whole = await attempt(dir, "whole", device!, often);
  for (let failing = 1;; failing += 5) {
    const { write } = disk;
    let writes = 0, saved = 0;
    disk.write = (fd, bytes) => {
      if (saved >= 2 && ++writes >= failing) {
        return Promise.reject(Object.assign(new Error("ENOSPC"), { code: "ENOSPC" }));
      }
      return write(fd, bytes);
    };
    let full: Outcome;
    try {
      full = await attempt(dir, "full", device!, often, undefined, ({ event }) => {
        if (event === "checkpoint") saved++;
      });
    } finally {
      disk.write = write;
    }
    // The third checkpoint is the first that meets a full disk.
    if (saved > 2) {
      expect(failing).toBeGreaterThan(4);
      break;
    }
    expect(full.error).toMatchObject({ exit: Exit.disk, why: "The disk is full." });
    expect(await sound(full.out)).toEqual([2, 1]);
    const again = await attempt(dir, "full", device!, { ...often, resume: "auto" });
    expect(again.error).toBeUndefined();
    expect(end(again)!.sha256).toBe(end(whole)!.sha256);
    rmSync(full.out, { recursive: true });
  }
});

const unshare = Bun.spawnSync(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]);
const small = unshare.success ? gpu : test.skip;
if (!unshare.success) {
  console.log("a full disk for a process: skipped, no file system may be mounted");
}

small("a run on a full disk ends with 12, and goes on when there is room", async () => {
  const main = join(import.meta.dir, "../src/main.ts"), kept = join(dir, "kept");
  const argv = [
    ...["train", "sft", "-m", dir, "-d", "rows.jsonl", "--rank", "2", "--batch", "4"],
    ...["--iters", "40", "--save-every", "1", "--keep", "99"],
  ];
  const train = `${process.execPath} ${main} ${argv.join(" ")}`;
  mkdirSync(kept);
  writeFileSync(
    join(dir, "script.sh"),
    `mount -t tmpfs -o size=1500k none /mnt
${train} -o /mnt/run 2> kept/err; echo $? > kept/code
cp -r /mnt/run kept/full
mount -o remount,size=60m /mnt
${train} -o /mnt/run --resume || exit 1
cp -r /mnt/run kept/resumed
${train} -o /mnt/whole || exit 1
cmp /mnt/run/adapter_model.safetensors /mnt/whole/adapter_model.safetensors
`,
  );
  const { exitCode, stderr } = Bun.spawnSync(["unshare", "-rm", "sh", "script.sh"], {
    cwd: dir,
    env: bare(),
  });
  expect({ exitCode, err: exitCode ? stderr.toString() : "" }).toEqual({ exitCode: 0, err: "" });
  const told = readFileSync(join(kept, "err"), "utf8");
  expect(readFileSync(join(kept, "code"), "utf8")).toBe("12\n");
  expect(told).toMatch(/error: .*checkpoint at step \d+/);
  const saved = await sound(join(kept, "full"));
  expect(saved.length).toBeGreaterThan(2);
  expect(readRun(join(kept, "full")).manifest.status).toBeOneOf(["running", "failed"]);
  expect(readRun(join(kept, "resumed")).steps).toHaveLength(40);
});
