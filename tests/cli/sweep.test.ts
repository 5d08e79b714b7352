// Many trainings from one command line, and what they say together.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { whet } from "./inside.ts";

setDefaultTimeout(300_000);
const folder = mkdtempSync(join(tmpdir(), "whet-sweep-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

beforeAll(() => {
  cpSync(join(import.meta.dir, "../../models/micro"), at("model"), { recursive: true });
  const row = (i: number) => JSON.stringify({ prompt: `count ${i}`, completion: ` ${i}.` }) + "\n";
  const rows = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => row(from + i)).join("");
  writeFileSync(at("rows.jsonl"), rows(0, 12));
  writeFileSync(at("val.jsonl"), rows(12, 16));
});

const sweep = ["sweep", "-m", "model", "-d", "rows.jsonl", "--val", "val.jsonl", "-o", "out"];
const short = ["--iters", "4", "--batch", "4", "--rank", "2"];

test("runs of their own, compared, and gone on with by the same command", async () => {
  const asked = [...sweep, ...short, "--grid", "lr=1e-5,3e-3", "--note", "how fast", "--json"];
  const { code, out, err } = await whet(asked, folder);
  expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
  const told = JSON.parse(out.trimEnd().split("\n").at(-1)!);
  expect(told.note).toBe("how fast");
  expect(told.best).toEqual({ choice: { lr: "3e-3" }, path: join("out", "2-lr=3e-3") });
  expect(told.runs.map((r: { status: string }) => r.status)).toEqual(["finished", "finished"]);
  expect(told.runs[1].best_val_loss).toBeLessThan(told.runs[0].best_val_loss);
  expect(told.verdicts).toHaveLength(1);
  expect(JSON.parse(readFileSync(at("out/sweep.json"), "utf8"))).toEqual(told);
  expect(readFileSync(at("out/sweep.html"), "utf8")).toContain("Best: lr=3e-3");
  expect(existsSync(at("out/1-lr=1e-5/adapter_model.safetensors"))).toBe(true);

  // One run taken away: only that one is made again, to the same numbers.
  const before = readFileSync(at("out/2-lr=3e-3/run.json"), "utf8");
  rmSync(at("out/1-lr=1e-5"), { recursive: true });
  const again = await whet(asked, folder);
  expect(again.code).toBe(0);
  const retold = JSON.parse(again.out.trimEnd().split("\n").at(-1)!);
  expect(retold.runs[0].best_val_loss).toBe(told.runs[0].best_val_loss);
  expect(readFileSync(at("out/2-lr=3e-3/run.json"), "utf8")).toBe(before);
});

test("what would be run, without running it", async () => {
  const asked = [...sweep, "--grid", "lr=1e-5,3e-3", "rank=2,4", "--one-at-a-time", "--dry-run"];
  const { code, out } = await whet([...asked, "--json", "-o", "none"], folder);
  expect(code).toBe(0);
  expect(JSON.parse(out).runs.map((r: { choice: object }) => r.choice)).toEqual([
    { lr: "1e-5", rank: "2" },
    { lr: "3e-3", rank: "2" },
    { lr: "1e-5", rank: "4" },
  ]);
  expect(existsSync(at("none"))).toBe(false);
});

test.each([
  [["--grid", "lrr=1,2"], "no such setting to vary", "did you mean lr?"],
  [["--grid", "lr=1e-5", "--max-runs", "0"], "--max-runs", "must be at least 1"],
  [["--grid", "lr=1e-5,1e-4,1e-3", "--max-runs", "2"], "this sweep has 3 runs", "fewer values"],
  [["--grid", "lr=1e-6", ...short], "out holds another sweep", "another folder"],
  [["--grid", "lr=1e-5,3e-3", ...short, "--rank", "3"], "was made with another rank", "another -o"],
])("%p is refused", async (more, what, fix) => {
  const { code, err } = await whet([...sweep, ...more], folder);
  expect(code).toBe(2);
  expect(err).toContain(what);
  expect(err).toContain(fix);
});

test("runs of preference training, with that training's own defaults", async () => {
  const pair = (i: number) =>
    JSON.stringify({ prompt: `count ${i}`, chosen: ` ${i}.`, rejected: ` ${i + 1}?` }) + "\n";
  const pairs = Array.from({ length: 12 }, (_, i) => pair(i));
  writeFileSync(at("pairs.jsonl"), pairs.slice(0, 8).join(""));
  writeFileSync(at("pairs_val.jsonl"), pairs.slice(8).join(""));
  const asked = [
    ...["sweep", "dpo", "-m", "model", "-d", "pairs.jsonl", "--val", "pairs_val.jsonl"],
    ...["-o", "dpo", "--iters", "3", "--batch", "4", "--grid", "rank=2,4", "--json"],
  ];
  const { code, out, err } = await whet(asked, folder);
  expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
  const told = JSON.parse(out.trimEnd().split("\n").at(-1)!);
  expect(told.runs.map((r: { status: string }) => r.status)).toEqual(["finished", "finished"]);
  const { settings } = JSON.parse(readFileSync(at("dpo/2-rank=4/run.json"), "utf8"));
  expect(settings).toMatchObject({ rank: 4, lr: 5e-6, loss_type: "sigmoid", beta: 0.1 });
  expect(existsSync(at("dpo/sweep.html"))).toBe(true);
});
