import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type Disk, disk, isDiskFull } from "../base/disk.ts";
import { Exit, Fail } from "../base/fail.ts";
import { readFolder } from "../base/folder.ts";
import {
  latestCheckpoint,
  listCheckpoints,
  loadCheckpoint,
  saveCheckpoint,
  type TrainingState,
} from "./checkpoint.ts";

const real = { ...disk };
let run: string;
beforeEach(() => {
  run = fs.mkdtempSync(join(tmpdir(), "checkpoint-"));
});
afterEach(() => {
  Object.assign(disk, real);
  fs.rmSync(run, { recursive: true, force: true });
});

const values = (n: number, seed: number) =>
  Float32Array.from({ length: n }, (_, i) => Math.fround(Math.sin(seed * 100 + i)));
const state = (step: number, change: Partial<TrainingState> = {}): TrainingState => ({
  step,
  tensors: new Map([
    ["q.lora_A.weight", { shape: [2, 3], w: values(6, step), m: values(6, 2), v: values(6, 3) }],
    ["q.lora_B.weight", { w: values(4, 4), m: values(4, 5), v: values(4, step) }],
  ]),
  cursor: { epoch: 1, row: 17 },
  settings: { lr: 2e-4, name: "é" },
  dataHash: "abc",
  history: [0.1, 1 / 3, 5e-324, 1e300],
  ...change,
});
const steps = () => listCheckpoints(run).map((c) => c.step);
const names = () => fs.readdirSync(join(run, "checkpoints")).sort();

describe("save and load", () => {
  test("what is saved is what is loaded, to the last bit", async () => {
    const extreme = values(5, 1);
    extreme.set([-0, 1e-45, 3.4028234663852886e38, -1.17549435e-38]);
    const saved = state(12, {
      tensors: new Map([["x", { w: extreme, m: extreme, v: extreme }]]),
      history: [NaN, { best: Infinity, worst: -Infinity }, null, 0.1 + 0.2],
      best: { step: 7 },
      extra: { worse: 2 },
    });
    const { path, bytes } = await saveCheckpoint(run, saved);
    expect(basename(path)).toBe("step-12");
    const files = fs.readdirSync(path).filter((name) => name !== "manifest.json");
    expect(files.reduce((sum, f) => sum + fs.statSync(join(path, f)).size, 0)).toBe(bytes);
    const loaded = await loadCheckpoint(path);
    expect(loaded.tensors.get("x")!.shape).toEqual([5]);
    for (const part of ["w", "m", "v"] as const) {
      const bits = new Uint8Array(loaded.tensors.get("x")![part].buffer);
      expect(bits).toEqual(new Uint8Array(extreme.buffer));
    }
    expect({ ...loaded, tensors: 0 }).toEqual({ ...saved, tensors: 0 });
  });

  test("shapes are kept; the same state makes the same bytes", async () => {
    const one = await saveCheckpoint(join(run, "a"), state(3));
    const shuffled = state(3, { tensors: new Map([...state(3).tensors].reverse()) });
    const two = await saveCheckpoint(join(run, "b"), shuffled);
    for (const name of fs.readdirSync(one.path)) {
      const [x, y] = [one, two].map(({ path }) => fs.readFileSync(join(path, name)));
      expect([name, x!.equals(y!)]).toEqual([name, true]);
    }
    expect((await loadCheckpoint(one.path)).tensors.get("q.lora_A.weight")!.shape).toEqual([2, 3]);
  });

  test("what JSON would lose is refused, and nothing is written", async () => {
    for (const lost of [new Map(), Float32Array.of(1), 5n, () => 1]) {
      const saving = saveCheckpoint(run, state(1, { extra: { lost } }));
      expect(await saving.then(() => "", String)).toContain("lost is a");
    }
    expect(fs.readdirSync(run)).toEqual([]);
  });

  test("a NaN in weights or moments is never saved", async () => {
    for (const part of ["w", "m", "v"] as const) {
      const bad = state(5);
      bad.tensors.get("q.lora_B.weight")![part][3] = part === "v" ? Infinity : NaN;
      const error = await saveCheckpoint(run, bad).then(() => undefined, (e: unknown) => e);
      expect(error).toBeInstanceOf(Fail);
      expect((error as Fail).exit).toBe(Exit.diverged);
      expect((error as Fail).message).toContain("q.lora_B.weight");
    }
    expect(steps()).toEqual([]);
  });

  test("other folders are no checkpoints", async () => {
    const { path } = await saveCheckpoint(run, state(1));
    fs.writeFileSync(join(path, "weights.safetensors"), "x");
    expect(loadCheckpoint(path)).rejects.toThrow("weights.safetensors has 1 bytes");
    expect(loadCheckpoint(run)).rejects.toThrow("manifest.json is missing");
    await Bun.sleep(10);
  });
});

describe("rotation", () => {
  test("keeps the newest and the best", async () => {
    for (const step of [10, 20, 30, 40]) {
      await saveCheckpoint(run, state(step, { best: { step: 20 } }), { keep: 2 });
    }
    expect(steps()).toEqual([40, 30, 20]);
    const last = await saveCheckpoint(run, state(50, { best: { step: 50 } }), { keep: 2 });
    expect(last.removed.map((p) => basename(p))).toEqual(["step-30", "step-20"]);
    expect(names()).toEqual(["step-40", "step-50"]);
  });

  test("never fewer than two", async () => {
    for (const step of [1, 2, 3]) await saveCheckpoint(run, state(step), { keep: 1 });
    expect(steps()).toEqual([3, 2]);
  });

  test("removes nothing when the new one does not read back", async () => {
    for (const step of [1, 2]) await saveCheckpoint(run, state(step), { keep: 2 });
    disk.rename = async (from, to) => {
      await real.rename(from, to);
      if (basename(to) === "step-3") fs.truncateSync(join(to, "moments.safetensors"), 10);
    };
    expect(await saveCheckpoint(run, state(3), { keep: 2 }).then(() => "", String)).toContain(
      "moments",
    );
    Object.assign(disk, real);
    const warnings: string[] = [];
    expect(basename((await latestCheckpoint(run, (w) => warnings.push(w)))!)).toBe("step-2");
    expect(warnings[0]).toContain("moments.safetensors has 10 bytes");
    expect(names()).toEqual(["step-1", "step-2", "step-3"]);
  });

  test("a damaged one is passed over, kept, and not overwritten", async () => {
    for (const step of [1, 2]) await saveCheckpoint(run, state(step), { keep: 9 });
    const bad = join(run, "checkpoints", "step-2", "weights.safetensors");
    const bytes = fs.readFileSync(bad);
    bytes[bytes.length - 1]! ^= 1;
    fs.writeFileSync(bad, bytes);
    expect(basename((await latestCheckpoint(run, () => {}))!)).toBe("step-1");
    const { path } = await saveCheckpoint(run, state(2), { keep: 9 });
    expect(basename(path)).toBe("step-2-2");
    expect(basename((await latestCheckpoint(run, () => {}))!)).toBe("step-2-2");
    expect(fs.readFileSync(bad).equals(bytes)).toBe(true);
  });

  test("going on from an older one sets the later ones aside", async () => {
    for (const step of [10, 20, 30]) await saveCheckpoint(run, state(step));
    const { setAside } = await saveCheckpoint(run, state(15));
    expect(setAside.map((p) => basename(p))).toEqual(["step-30", "step-20"]);
    expect(steps()).toEqual([15, 10]);
    expect(basename((await latestCheckpoint(run, () => {}))!)).toBe("step-15");
    const old = names().filter((name) => name.startsWith("old-"));
    expect(old.map((name) => name.slice(0, 12))).toEqual(["old-step-20-", "old-step-30-"]);
    await readFolder(join(run, "checkpoints", old[0]!));
  });

  test("order is by step, whatever the clock says", async () => {
    for (const step of [9, 10, 100]) await saveCheckpoint(run, state(step));
    const past = new Date(0);
    fs.utimesSync(join(run, "checkpoints", "step-100"), past, past);
    expect(steps()).toEqual([100, 10, 9]);
    expect(basename((await latestCheckpoint(run, () => {}))!)).toBe("step-100");
  });
});

describe("failing disks and crashes", () => {
  /** Lets the disk fail at call `at`: once, or from there on, as a crash would. Returns how many calls came. */
  function failAt(at: number, forever: boolean, code: string): () => number {
    let n = 0;
    for (const name of Object.keys(real) as (keyof Disk)[]) {
      if (name === "free") continue;
      const call = real[name] as (...args: unknown[]) => unknown;
      const replaced = (...args: unknown[]) => {
        n++;
        if (forever ? n < at : n !== at) return call(...args);
        const half = args[1] as Uint8Array;
        if (forever && name === "write") {
          fs.writeSync(args[0] as number, half.subarray(0, half.length / 2));
        }
        return Promise.reject(Object.assign(new Error(code), { code }));
      };
      Object.assign(disk, { [name]: replaced });
    }
    return () => n;
  }

  for (
    const [what, forever, code] of [
      ["one error", false, "EIO"],
      ["a full disk", true, "ENOSPC"],
    ] as const
  ) {
    test(`${what} at every call of save and rotation: no saved checkpoint is lost`, async () => {
      const before = join(run, "before");
      for (const step of [1, 2]) await saveCheckpoint(before, state(step), { keep: 2 });
      const base = run;
      let at = 1;
      for (let calls = 1; at <= calls; at++) {
        Object.assign(disk, real);
        const run = join(base, "run");
        fs.rmSync(run, { recursive: true, force: true });
        fs.cpSync(before, run, { recursive: true });
        const count = failAt(at, forever, code);
        const error = await saveCheckpoint(run, state(3), { keep: 2 }).then(
          () => undefined,
          (e: unknown) => e,
        );
        calls = count();
        if (error !== undefined) {
          expect(error).toBeInstanceOf(Fail);
          expect((error as Fail).exit).toBe(Exit.disk);
          expect(isDiskFull(error)).toBe(code === "ENOSPC");
        }
        Object.assign(disk, real);
        const warnings: string[] = [];
        const latest = (await latestCheckpoint(run, (w) => warnings.push(w)))!;
        expect(["step-2", "step-3"]).toContain(basename(latest));
        expect(warnings).toEqual([]);
        await loadCheckpoint(latest);
        await saveCheckpoint(run, state(4), { keep: 2 });
        const left = fs.readdirSync(join(run, "checkpoints"));
        expect(left.filter((name) => name.startsWith("."))).toEqual([]);
      }
      expect(at).toBeGreaterThan(25);
    });
  }

  test("too little room is seen before anything is written", async () => {
    await saveCheckpoint(run, state(1));
    const before = fs.readdirSync(join(run, "checkpoints"));
    disk.free = () => 1000;
    disk.open = () => Promise.reject(new Error("nothing may be written"));
    const error = await saveCheckpoint(run, state(2)).then(() => undefined, (e: unknown) => e);
    expect((error as Fail).message).toBe("no room for a checkpoint at step 2: it needs 1.0 MiB");
    expect(isDiskFull(error)).toBe(true);
    expect(fs.readdirSync(join(run, "checkpoints"))).toEqual(before);
  });
});
