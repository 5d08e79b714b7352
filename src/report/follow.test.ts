import { afterAll, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Follower } from "./follow.ts";

const folder = mkdtempSync(join(tmpdir(), "whet-follow-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("each event once, when its line is whole, and anew where the file was", () => {
  const path = join(folder, "metrics.jsonl");
  const follower = new Follower(path);
  const steps = () => follower.read().map(({ step }) => step);
  expect(steps()).toEqual([]);
  writeFileSync(path, '{"event":"step","step":1}\n{"event":"st');
  expect(steps()).toEqual([1]);
  expect(steps()).toEqual([]);
  appendFileSync(path, 'ep","step":2,"text":"ü"}\nbroken\n{"event":"step","step":3}\n');
  expect(steps()).toEqual([2, 3]);
  writeFileSync(path, '{"event":"step","step":9}\n');
  expect(steps()).toEqual([9]);
  rmSync(path);
  expect(steps()).toEqual([]);
});
