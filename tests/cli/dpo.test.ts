// Training on pairs from the command line: what it does, records, resumes and refuses.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readRun } from "../../src/report/folder.ts";
import { whet } from "./inside.ts";

setDefaultTimeout(300_000);
const folder = mkdtempSync(join(tmpdir(), "whet-dpo-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

const lines = (rows: readonly object[]) => rows.map((row) => JSON.stringify(row) + "\n").join("");
const pair = (i: number) => ({
  prompt: `Please water bed ${i}:`,
  chosen: ` I will water bed ${i}.`,
  rejected: i % 2 ? " No." : ` I will dig bed ${i} up, and then another.`,
});
const pairs = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => pair(from + i));

beforeAll(() => {
  cpSync(join(import.meta.dir, "../../models/micro"), at("model"), { recursive: true });
  writeFileSync(at("pairs.jsonl"), lines(pairs(0, 16)));
  writeFileSync(at("val.jsonl"), lines(pairs(16, 22)));
});

const basic = ["train", "dpo", "-m", "model", "-d", "pairs.jsonl", "--val", "val.jsonl"];
const dpo = [...basic, "--iters", "6", "--batch", "4", "--rank", "4", "--samples", "0"];
const how = ["--lr", "1e-3", "--warmup", "0", "--save-every", "3", "--eval-every", "3"];

async function trained(out: string, ...flags: string[]) {
  const { code, out: text, err } = await whet(
    [...dpo, ...how, ...flags, "-o", out, "--json"],
    folder,
  );
  expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
  const events = text.trim().split("\n").map((line) => JSON.parse(line));
  const of = (kind: string) => events.filter(({ event }) => event === kind);
  return { steps: of("step"), evals: of("eval"), sha256: of("end")[0].sha256 as string };
}

/** The same from the checkpoint of step 3 on. */
async function resumed(from: string, ...flags: string[]) {
  const out = `${from}-again`;
  cpSync(at(`${from}/checkpoints/step-3`), at(`${out}/checkpoints/step-3`), { recursive: true });
  return await trained(out, "--resume", ...flags);
}

test("the model learns to prefer; what is logged, reported and repeated", async () => {
  const { steps, evals, sha256 } = await trained("run");
  expect(steps[0].loss).toBeCloseTo(Math.log(2), 5);
  expect(Math.abs(steps[0]["rewards/margins"])).toBeLessThan(1e-6);
  expect(steps.at(-1)["rewards/margins"]).toBeGreaterThan(0.05);
  expect(evals.at(-1)["rewards/accuracies"]).toBe(1);
  expect(evals.at(-1).val_loss).toBeLessThan(evals[0].val_loss);
  expect(evals[0].ppl).toBeUndefined();
  const { chosen, rejected } = { chosen: "rewards/chosen", rejected: "rewards/rejected" };
  for (const e of evals) expect(e[chosen] - e[rejected]).toBeCloseTo(e["rewards/margins"], 5);
  expect(steps[0]["logps/chosen"]).toBeLessThan(0);

  const { manifest } = readRun(at("run"));
  expect(manifest.kind).toBe("dpo");
  expect(manifest.settings).toMatchObject({ beta: 0.1, loss_type: "sigmoid", epochs: 1 });
  expect(manifest.settings).not.toHaveProperty("loss_on");
  const card = readFileSync(at("run/README.md"), "utf8");
  expect(card).toContain("preference optimisation (DPO)");
  expect(card).toContain("whet train dpo --config run.json");
  expect(card).toContain("rewards/accuracies");
  expect(card).not.toContain("perplexity");
  expect(readFileSync(at("run/report.html"), "utf8")).toContain("Reward margin");

  expect((await resumed("run")).sha256).toBe(sha256);
  const again = await whet(["train", "--config", "run/run.json", "-o", "repeated"], folder);
  expect(again.code).toBe(0);
  expect(readRun(at("repeated")).manifest.adapter!.sha256).toBe(sha256);
});

test("a reference that is computed once is the same one, kept, and bound to its model", async () => {
  const live = readRun(at("run")).manifest;
  const { steps, sha256 } = await trained("cached", "--reference", "cached");
  expect(steps[0].loss).toBeCloseTo(Math.log(2), 5);
  expect(steps.length).toBe(live.steps);
  expect((await resumed("cached", "--reference", "cached")).sha256).toBe(sha256);

  const shared = ["--reference", "cached", "--reference-file", "cached/reference.json"];
  expect((await trained("shared", ...shared)).sha256).toBe(sha256);
  const other = { ...JSON.parse(readFileSync(at("cached/reference.json"), "utf8")), model: "x" };
  writeFileSync(at("other.json"), JSON.stringify(other));
  const flags = ["--reference", "cached", "--reference-file", "other.json", "-o", "refused"];
  const { code, err } = await whet([...dpo, ...flags], folder);
  expect(code).toBe(3);
  expect(err).toContain("other.json is the reference of another model");
});

test("from an adapter: against the base, or against itself as it was", async () => {
  const go = ["--init-adapter", "run"];
  const base = await trained("base", ...go);
  expect(Math.abs(base.steps[0]["rewards/margins"])).toBeGreaterThan(0.01);
  const own = await trained("own", ...go, "--reference", "sft");
  expect(Math.abs(own.steps[0]["rewards/margins"])).toBeLessThan(1e-5);
  expect((await resumed("own", ...go, "--reference", "sft")).sha256).toBe(own.sha256);
  const free = await trained("free", "--reference", "free");
  expect(free.steps[0]["rewards/chosen"]).toBeCloseTo(0.1 * free.steps[0]["logps/chosen"], 4);
});

test("messages and ids; every other loss trains", async () => {
  const talk = (role: string, content: string) => ({ role, content });
  writeFileSync(
    at("chat.jsonl"),
    lines(
      pairs(0, 8).map(({ prompt, chosen, rejected }, i) =>
        i % 2
          ? {
            chosen: [talk("user", prompt), talk("assistant", chosen)],
            rejected: [talk("user", prompt), talk("assistant", rejected)],
          }
          : { prompt: [talk("user", prompt)], chosen: [talk("assistant", chosen)], rejected }
      ),
    ),
  );
  writeFileSync(
    at("ids.jsonl"),
    lines(
      pairs(0, 8).map((_, i) => ({
        prompt_ids: [5, 6, 7 + i],
        chosen_ids: [9, 10],
        rejected_ids: [11, 12, 13],
      })),
    ),
  );
  for (const [data, loss] of [["chat.jsonl", "ipo"], ["ids.jsonl", "exo_pair"]]) {
    const { steps } = await trained(loss!, "-d", data!, "--loss-type", loss!);
    expect(steps.at(-1).loss).toBeLessThan(steps[0].loss);
  }
});

test("what is refused, and what is passed over", async () => {
  const refused = async (rows: readonly object[] | undefined, ...flags: string[]) => {
    if (rows) writeFileSync(at("bad.jsonl"), lines(rows));
    const data = rows ? ["-d", "bad.jsonl"] : [];
    const { code, err } = await whet([...dpo, ...data, ...flags, "-o", "none"], folder);
    return { code, err };
  };
  const good = pair(1);
  const missing = await refused([good, { prompt: "a", text: "b" }, { ...good, rejected: " " }]);
  expect(missing.code).toBe(3);
  expect(missing.err).toContain(
    "line 2: Invalid DPO dataset at index 1: missing required fields ['chosen', 'rejected']. " +
      "Expected fields: ['prompt', 'chosen', 'rejected'], got: ['prompt', 'text']",
  );
  expect(missing.err).toContain("line 3: nothing to train on: rejected is empty");
  const same = { ...good, rejected: good.chosen, metadata: { span_id: "s-7" } };
  const few = await refused([same, good], "--min-pairs", "2");
  expect(few.code).toBe(3);
  expect(few.err).toContain("Insufficient preference pairs: 1 < 2.");
  writeFileSync(at("same.jsonl"), lines([same, { ...same, metadata: {} }, ...pairs(0, 4)]));
  const passed = await whet([...basic, "-d", "same.jsonl", "--dry-run"], folder);
  expect(passed.code).toBe(0);
  expect(passed.err).toContain("Skipping identical pair for span s-7");
  expect(passed.err).toContain("Skipping identical pair at line 2");
  const long = await refused(undefined, "--max-seq", "12");
  expect(long.code).toBe(3);
  expect(long.err).toContain("an answer with its prompt has");
  const cases: [string[], string][] = [
    [["--loss-type", "kto"], "--loss-type kto is a command of its own"],
    [["--loss-type", "exo_pair", "--label-smoothing", "0"], "must be above 0"],
    [["--loss-type", "hinge", "--label-smoothing", "0.1"], "has no meaning with"],
    [["--reference", "sft"], "--init-adapter"],
    [["--full", "--reference", "adapter-off"], "adapter-off has no meaning with --full"],
  ];
  for (const [flags, told] of cases) {
    const { code, err } = await refused(undefined, ...flags);
    expect({ code, told: err.includes(told) ? told : err }).toEqual({ code: 2, told });
  }
});
