import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { disk } from "./disk.ts";
import { Fail } from "./fail.ts";
import { openJournal } from "./journal.ts";

const folder = mkdtempSync(join(tmpdir(), "journal-"));
afterAll(() => rmSync(folder, { recursive: true }));
const real = { ...disk };
afterEach(() => void Object.assign(disk, real));

test("lines come back, and each is synced before append returns", async () => {
  const path = join(folder, "deep/er/a.jsonl");
  const journal = await openJournal(path);
  const order: string[] = [];
  disk.append = (fd, bytes) => (order.push("write"), real.append(fd, bytes));
  disk.fsync = async (fd) => {
    await real.fsync(fd);
    order.push("sync");
  };
  for (const line of ["one", "zwei ü", ""]) {
    await journal.append(line);
    order.push("done");
  }
  expect(order.join(" ")).toBe("write sync done write sync done write sync done");
  await journal.close();
  const again = await openJournal(path);
  expect(again.before).toEqual(["one", "zwei ü", ""]);
  await again.close();
  expect(journal.append("a\nb")).rejects.toThrow(TypeError);
});

test("a torn last line is cut off wherever it was torn", async () => {
  const path = join(folder, "torn.jsonl");
  const whole = "first\nsecond\n";
  for (let cut = 0; cut <= whole.length; cut++) {
    writeFileSync(path, whole.slice(0, cut));
    const journal = await openJournal(path);
    expect(journal.before).toEqual(["first", "second"].slice(0, cut < 6 ? 0 : cut < 13 ? 1 : 2));
    await journal.append("next");
    await journal.close();
    expect(readFileSync(path, "utf8")).toMatch(/^(first\n)?(second\n)?next\n$/);
  }
});

test("a full disk is told, and what was half written is taken back", async () => {
  const path = join(folder, "full.jsonl");
  const journal = await openJournal(path);
  await journal.append("good");
  let calls = 0;
  disk.append = (fd, bytes) => {
    if (calls++ > 0) throw Object.assign(new Error("full"), { code: "ENOSPC" });
    return real.append(fd, bytes.subarray(0, 3));
  };
  const failed = await journal.append("lost").catch((error) => error);
  expect(failed).toBeInstanceOf(Fail);
  expect(failed.exit).toBe(12);
  disk.append = real.append;
  await journal.append("after");
  await journal.close();
  expect(readFileSync(path, "utf8")).toBe("good\nafter\n");
});
