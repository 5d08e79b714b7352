// The two trackers that write files, read back by decoders of their own.
import { afterAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { disk } from "../../base/disk.ts";
import type { Limits } from "./delivery.ts";
import { histogramOf } from "./histogram.ts";
import { Trackers, trackersOf } from "./mod.ts";
import { block, double, float, integer, message } from "./protobuf.ts";
import { tfRecord } from "./tensorboard.ts";
import { decode, items, readEvents, readOffline } from "./testing.ts";
import { levelDbRecords } from "./wandb.ts";

const root = mkdtempSync(join(tmpdir(), "whet-trackers-"));
afterAll(() => rmSync(root, { recursive: true }));
const QUICK = {
  waiting: 5000,
  batch: 7,
  every: 2,
  call: 500,
  retry: [2, 5],
  end: 500,
  checkpoint: 100,
} as const;

function trackers(
  name: string,
  folder: string,
  from = 0,
  state = {},
  started = Date.now(),
  limits: Limits = QUICK,
) {
  const warnings: string[] = [];
  const config = { lr: 2e-4, target: ["q_proj", "v_proj"], model: "a|b" };
  const it = new Trackers(
    trackersOf({ report_to: [name], offline: true }, {}),
    { name: "first", folder, config, from, started },
    state,
    (message) => warnings.push(message),
    limits,
  );
  return { it, warnings };
}
const step = (n: number) => ({ step: n, epoch: n / 10, loss: 5 / n, lr: 1e-4, grad_norm: 1 });

function events(folder: string) {
  const dir = join(folder, "tensorboard");
  return readdirSync(dir).sort().map((name) => readEvents(readFileSync(join(dir, name))));
}

/** Waits until the tracker has written what a file begins with. */
async function begun(folder: string) {
  while (!existsSync(join(folder, "tensorboard")) || !events(folder)[0]?.length) await Bun.sleep(1);
}

test("wire format of known messages", () => {
  // The examples of protobuf.dev: 150 in field 1, "testing" in field 2, a negative int32.
  expect([...integer(1, 150)]).toEqual([0x08, 0x96, 0x01]);
  expect([...block(2, "testing")]).toEqual([0x12, 7, ...Buffer.from("testing")]);
  expect([...integer(1, -2)]).toEqual([8, 0xfe, ...new Array(8).fill(0xff), 1]);
  expect([...float(2, 1)]).toEqual([0x15, 0, 0, 0x80, 0x3f]);
  expect([...double(1, 1)]).toEqual([9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
  const long = block(5, new Uint8Array(300));
  expect([...long.subarray(0, 3)]).toEqual([0x2a, 0xac, 0x02]);
  expect(decode(message(integer(16, 2 ** 40), long)).get(16)![0]).toBe(2n ** 40n);
});

test("a TFRecord, byte for byte", () => {
  // Worked out by hand: length 5, its masked CRC-32C, the bytes, theirs.
  const record = Buffer.from(tfRecord(new TextEncoder().encode("hello"))).toString("hex");
  expect(record.slice(0, 16)).toBe("0500000000000000");
  expect(record.slice(24, 34)).toBe(Buffer.from("hello").toString("hex"));
  // crc32c("hello") = 0x9a71bb4c; rotated right by 15 and offset: 0x7699344c + 0xa282ead8.
  const rotated = ((0x9a71bb4c >>> 15) | (0x9a71bb4c << 17)) >>> 0;
  const masked = (rotated + 0xa282ead8) % 2 ** 32;
  expect(Buffer.from(record.slice(34), "hex").readUInt32LE()).toBe(masked);
});

test("histograms count every finite value once", () => {
  const values = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i) ** 3);
  values[10] = NaN;
  values[20] = Infinity;
  const { min, max, count, sum, limits, counts } = histogramOf(values);
  const finite = [...values].filter(Number.isFinite);
  expect([min, max, count]).toEqual([Math.min(...finite), Math.max(...finite), 998]);
  expect(sum).toBeCloseTo(finite.reduce((a, b) => a + b, 0), 6);
  expect(counts.reduce((a, b) => a + b, 0)).toBe(998);
  expect(limits).toHaveLength(counts.length + 1);
  counts.forEach((n, i) => {
    const last = i === counts.length - 1;
    const inside = finite.filter((x) =>
      x >= limits[i]! - 1e-12 && (x < limits[i + 1]! - 1e-12 || last)
    );
    expect(Math.abs(n - inside.length)).toBeLessThanOrEqual(1); // rounding at a limit
  });
  expect(histogramOf(new Float32Array(5).fill(3)).counts).toEqual([5]);
  expect(histogramOf(Float32Array.of(NaN)).count).toBe(0);
});

describe("tensorboard", () => {
  test("scalars, text and histograms of a run", async () => {
    const folder = join(root, "plain");
    const { it, warnings } = trackers("tensorboard", folder);
    for (let n = 1; n <= 20; n++) it.event("step", step(n));
    it.event("eval", { step: 20, val_loss: NaN, ppl: 4, best: true });
    it.event("sample", { step: 20, prompt: "count 3?", output: "3", expected: "three" });
    it.event("checkpoint", { path: "x", step: 20, bytes: 5 });
    it.histogram(20, "gradients/a", Float32Array.of(1, 2, 3));
    const places = await it.end("finished");
    expect(places).toEqual([{ name: "tensorboard", place: join(folder, "tensorboard") }]);
    expect(warnings).toEqual([]);
    const [all] = events(folder);
    expect(all![0]!.version).toBe("brain.Event:2");
    expect(all![1]).toMatchObject({ step: 0, tag: "settings", plugin: "text" });
    expect(all![1]!.text).toContain('| target | ["q_proj","v_proj"] |');
    expect(all![1]!.text).toContain("| model | a\\|b |");
    const losses = all!.filter(({ tag }) => tag === "train/loss");
    expect(losses.map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    losses.forEach(({ scalar }, i) => expect(scalar).toBe(Math.fround(5 / (i + 1))));
    expect(all!.find(({ tag }) => tag === "eval/val_loss")!.scalar).toBeNaN();
    const sample = all!.find(({ tag }) => tag === "samples/count 3")!;
    expect(sample.text).toBe("**asked** count 3?\n\n**answer** 3\n\n**expected** three");
    const { histogram } = all!.find(({ tag }) => tag === "gradients/a")!;
    expect(histogram!.count).toBe(3);
    expect(histogram!.buckets).toHaveLength(histogram!.limits.length);
    expect(histogram!.buckets.reduce((a, b) => a + b, 0)).toBe(3);
    for (const { wall } of all!) expect(Math.abs(wall - Date.now() / 1000)).toBeLessThan(60);
  });

  test("a resumed run goes on in a later file that takes back the steps given up", async () => {
    const folder = join(root, "resumed");
    const first = trackers("tensorboard", folder);
    for (let n = 1; n <= 5; n++) first.it.event("step", step(n));
    await first.it.end("stopped");
    // The process died while it wrote; the clock was put back an hour since.
    const dir = join(folder, "tensorboard");
    appendFileSync(join(dir, readdirSync(dir)[0]!), Uint8Array.of(24, 0, 0));
    const past = Date.now() - 3_600_000;
    const second = trackers("tensorboard", folder, 3, first.it.state(), past);
    for (let n = 4; n <= 6; n++) second.it.event("step", step(n));
    await second.it.end("finished");
    expect([...first.warnings, ...second.warnings]).toEqual([]);
    const names = readdirSync(dir).sort();
    expect(names).toHaveLength(2);
    const [version, restart, ...rest] = readEvents(readFileSync(join(dir, names[1]!)));
    expect(version!.version).toBe("brain.Event:2");
    expect(restart).toMatchObject({ restart: true, step: 4 });
    expect(rest.filter(({ tag }) => tag === "train/loss").map(({ step }) => step)).toEqual([
      4,
      5,
      6,
    ]);
    expect(rest.some(({ tag }) => tag === "settings")).toBe(false);
  });

  test("a checkpoint waits until its steps are in the files", async () => {
    const folder = join(root, "flushed");
    for (const name of ["tensorboard", "wandb"]) {
      const slow = { ...QUICK, every: 60_000, checkpoint: 10_000 };
      const { it } = trackers(name, folder, 0, {}, Date.now(), slow);
      for (let n = 1; n <= 30; n++) it.event("step", step(n));
      await it.flush();
      // Nothing more is done: the process may be killed now.
      const dir = join(folder, name);
      const file = readdirSync(dir, { recursive: true }).map(String).sort().at(-1)!;
      const bytes = readFileSync(join(dir, file));
      const steps = name === "wandb"
        ? readOffline(bytes).filter(({ kind }) => kind === 2).length
        : readEvents(bytes).filter(({ tag }) => tag === "train/loss").length;
      expect([name, steps]).toEqual([name, 30]);
      await it.end("finished");
    }
  });

  test("a disk that is full for a while, and one that stays full", async () => {
    const { append } = disk;
    const folder = join(root, "full"), patient = { ...QUICK, call: 60_000, end: 60_000 };
    const { it, warnings } = trackers("tensorboard", folder, 0, {}, Date.now(), patient);
    await begun(folder);
    let failures = 0;
    disk.append = (fd, bytes) => {
      if (failures++ < 1) return append(fd, bytes.subarray(0, 5)); // a part gets through
      if (failures < 4) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
      return append(fd, bytes);
    };
    try {
      it.event("step", step(1));
      while (failures < 4) await Bun.sleep(1);
      it.event("step", step(2));
      await it.end("finished");
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain("ENOSPC");
      const [all] = events(folder);
      const losses = all!.filter(({ tag }) => tag === "train/loss");
      expect(losses.map(({ step }) => step)).toEqual([1, 2]);

      const other = join(root, "never");
      const never = trackers("tensorboard", other, 0, {}, Date.now(), patient);
      await begun(other);
      disk.append = () => {
        throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
      };
      never.it.event("step", step(1));
      await never.it.end("finished");
      expect(never.warnings).toHaveLength(2);
      expect(never.warnings[1]).toBe("tensorboard: 1 entries were not delivered");
    } finally {
      disk.append = append;
    }
  });

  test("a folder that cannot be made", async () => {
    writeFileSync(join(root, "file"), "");
    const { it, warnings } = trackers("tensorboard", join(root, "file"));
    it.event("step", step(1));
    await it.end("finished");
    expect(warnings[0]).toContain("gets nothing more of this run: could not write");
    expect(warnings[1]).toContain("1 entries were not delivered");
  });
});

describe("wandb", () => {
  test("an offline run: settings, one row a step, summary, exit", async () => {
    const folder = join(root, "wandb run");
    const { it, warnings } = trackers("wandb", folder);
    for (let n = 1; n <= 20; n++) it.event("step", step(n));
    it.event("eval", { step: 20, val_loss: 2, ppl: NaN });
    it.histogram(20, "gradients/a", Float32Array.of(1, 2, 3));
    const place = (await it.end("finished"))[0]!.place;
    expect(warnings).toEqual([]);
    const { id } = it.state().wandb as { id: string };
    expect(id).toMatch(/^[a-z0-9]{8}$/);
    expect(place).toMatch(new RegExp(`wandb.offline-run-\\d{8}_\\d{6}-${id}$`));
    const records = readOffline(readFileSync(join(place, `run-${id}.wandb`)));
    expect(records.map(({ kind }) => kind)).toEqual([21, 17, ...new Array(20).fill(2), 3, 18]);
    const run = records[1]!.content;
    expect(items(decode(run.get(4)![0] as Uint8Array))).toEqual({
      lr: 2e-4,
      target: ["q_proj", "v_proj"],
      model: "a|b",
    });
    const rows = records.filter(({ kind }) => kind === 2).map(({ content }) => items(content));
    expect(rows.map((row) => row._step)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(rows[4]).toMatchObject({ "train/loss": 1, "train/lr": 1e-4 });
    const last = rows.at(-1)!;
    expect(last).toMatchObject({ "train/loss": 0.25, "eval/val_loss": 2, "eval/ppl": NaN });
    expect(last["gradients/a"]).toMatchObject({ _type: "histogram" });
    expect(items(records.at(-2)!.content)).toMatchObject({ "train/loss": 0.25, _step: 20 });

    // A later part has the same id, and another folder even within the same second.
    const again = trackers("wandb", folder, 20, it.state());
    again.it.event("step", step(21));
    const other = (await again.it.end("finished"))[0]!.place;
    expect(other).not.toBe(place);
    expect(other.endsWith(`-${id}`)).toBe(true);
  });

  test("frames never cross a block, whatever the size", () => {
    const sizes = [0, 1, 32740, 32754, 32755, 32761, 32762, 70_000, 5, 200_000];
    let file = new Uint8Array([0x3a, 0x57, 0x26, 0x42, 0xe1, 0xbe, 0]);
    sizes.forEach((size, i) => {
      const record = message(integer(1, i), block(2, new Uint8Array(size).fill(i + 1)));
      file = new Uint8Array(Buffer.concat([file, levelDbRecords(record, file.length)]));
    });
    // Contents are not messages, so only their frames are read here.
    const lengths: number[] = [];
    let length = 0;
    for (let at = 7; at < file.length;) {
      const left = 32768 - at % 32768;
      if (left < 7) {
        at += left;
        continue;
      }
      const size = file[at + 4]! | file[at + 5]! << 8, type = file[at + 6]!;
      expect(7 + size).toBeLessThanOrEqual(left);
      length += size;
      if (type === 1 || type === 4) {
        lengths.push(length);
        length = 0;
      }
      at += 7 + size;
    }
    expect(lengths).toEqual(
      sizes.map((size, i) => message(integer(1, i), block(2, new Uint8Array(size))).length),
    );
  });
});
