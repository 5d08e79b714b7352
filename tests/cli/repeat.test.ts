// `whet train --config OUT/run.json` repeats a run to the same bytes.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256File } from "../../src/base/sha256.ts";
import { whet } from "./inside.ts";

setDefaultTimeout(300_000);
const folder = mkdtempSync(join(tmpdir(), "whet repeat ü-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));
const rows = (from: number, to: number) =>
  Array.from(
    { length: to - from },
    (_, i) => JSON.stringify({ prompt: `count ${from + i}`, completion: `${from + i}` }) + "\n",
  ).join("");
const weights = async (run: string) =>
  (await sha256File(at(`${run}/adapter_model.safetensors`))).sha256;
const ran = async (...argv: string[]) => {
  const result = await whet(argv, folder);
  expect({ argv, code: result.code, err: result.code ? result.err : "" }).toEqual({
    argv,
    code: 0,
    err: "",
  });
  return result;
};
const losses = (run: string) =>
  readFileSync(at(`${run}/metrics.jsonl`), "utf8").split("\n").filter(Boolean)
    .map((line) => JSON.parse(line)).filter(({ event }) => event === "step" || event === "eval")
    .map(({ loss, grad_norm, lr, val_loss }) => [loss, grad_norm, lr, val_loss]);

beforeAll(async () => {
  cpSync(join(import.meta.dir, "../../models/micro"), at("model"), { recursive: true });
  writeFileSync(at("rows.jsonl"), rows(0, 14));
  writeFileSync(at("val.jsonl"), rows(30, 34));
  // None of these is the default, and the effective batch and the file's settings must survive.
  const settings = [
    "--rank",
    "3",
    "--dropout",
    "0.2",
    "--seed",
    "7",
    "--lr",
    "3e-3",
    "--warmup",
    "2",
  ];
  const length = [
    "--batch",
    "2",
    "--effective-batch",
    "4",
    "--iters",
    "5",
    "--scheduler",
    "linear",
  ];
  const data = ["-m", "model", "-d", "rows.jsonl", "--val", "val.jsonl", "--samples", "0"];
  await ran("train", "sft", ...data, ...settings, ...length, "--target", "all-linear", "-o", "one");
});

test("the same weights and the same log, whatever whet.yaml says meanwhile", async () => {
  writeFileSync(at("whet.yaml"), "train:\n  patience: 1\n  weight_decay: 0.5\n  epochs: 9\n");
  const { err } = await ran("train", "--config", "one/run.json", "-o", "two");
  rmSync(at("whet.yaml"));
  expect(await weights("two")).toBe(await weights("one"));
  expect(losses("two")).toEqual(losses("one"));
  expect(err).toContain(`the same bytes as one: sha256 ${await weights("one")}`);
  expect(err).not.toContain("recorded: its bytes");
  const third = await ran("train", "sft", "-c", "two/run.json", "-o", "three");
  expect(third.err).toContain("the same bytes as two");
  expect(await weights("three")).toBe(await weights("one"));
});

test("a full run repeats too", async () => {
  const argv = ["-m", "model", "-d", "rows.jsonl", "--full", "--iters", "2", "--batch", "2"];
  await ran("train", "sft", ...argv, "-o", "full");
  const { err } = await ran("train", "--config=full/run.json", "-o", "full2");
  expect(err).toContain("the same bytes as full");
});

test("flags win, and then it is no repetition", async () => {
  const { err } = await ran("train", "-c", "one/run.json", "-o", "other", "--seed", "8");
  expect(err).toContain("settings of one, with another seed");
  expect(err).not.toContain("bytes");
  expect(await weights("other")).not.toBe(await weights("one"));
});

test("other rows are told beforehand", async () => {
  cpSync(at("rows.jsonl"), at("kept.jsonl"));
  writeFileSync(at("rows.jsonl"), rows(50, 64));
  const { err } = await ran("train", "-c", "one/run.json", "-o", "changed");
  cpSync(at("kept.jsonl"), at("rows.jsonl"));
  expect(err).toContain("the training rows, their tokens are not as when one was recorded");
  expect(err).toContain("other bytes than one");
});

test("bad input", async () => {
  const record = JSON.parse(readFileSync(at("one/run.json"), "utf8"));
  writeFileSync(at("newer.json"), JSON.stringify({ ...record, format: 2 }));
  const settings = { ...record.settings, flux_capacity: 1 };
  writeFileSync(at("strange.json"), JSON.stringify({ ...record, settings }));
  writeFileSync(
    at("wrong.json"),
    JSON.stringify({ ...record, settings: { ...settings, rank: -1 } }),
  );
  writeFileSync(at("dpo.json"), JSON.stringify({ ...record, kind: "dpo" }));
  const cases: [argv: string[], text: string][] = [
    [["train", "-c", "one/run.json"], "add -o DIR"],
    [["train", "-c", "one/run.json", "-o", "one"], "one holds a run already"],
    [["train", "-c", "newer.json", "-o", "x"], "written by a newer whet"],
    [["train", "sft", "-c", "newer.json", "-o", "x"], "newer.json has format 2"],
    [["train", "-c", "strange.json", "-o", "x"], "does not know: flux_capacity"],
    [["train", "-c", "nowhere.json", "-o", "x"], "needs a second word"],
    [["train", "-c"], "needs a second word"],
    [["train", "-c", "dpo.json", "-o", "x"], "dpo.json was recorded by another whet"],
  ];
  for (const [argv, text] of cases) {
    const { code, err } = await whet(argv, folder);
    expect([argv, code, err]).toEqual([argv, 2, err]);
    expect(err).toContain(text);
  }
});
