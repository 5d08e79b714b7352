// ORPO, SimPO, KTO and preference training of all weights from the command line.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readRun } from "../../src/report/folder.ts";
import { whet } from "./inside.ts";

setDefaultTimeout(300_000);
const folder = mkdtempSync(join(tmpdir(), "whet-preference-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

const lines = (rows: readonly object[]) => rows.map((row) => JSON.stringify(row) + "\n").join("");
const pair = (i: number) => ({
  prompt: `Please water bed ${i}:`,
  chosen: ` I will water bed ${i}.`,
  rejected: i % 2 ? " No." : ` I will dig bed ${i} up, and then another.`,
});
const answer = (i: number) => ({
  prompt: `Please water bed ${i}:`,
  completion: i % 3 ? ` I will water bed ${i}.` : " No.",
  label: i % 3 > 0,
});

beforeAll(() => {
  cpSync(join(import.meta.dir, "../../models/micro"), at("model"), { recursive: true });
  const all = Array.from({ length: 14 }, (_, i) => i);
  for (const [name, rows] of [["pairs", all.map(pair)], ["answers", all.map(answer)]] as const) {
    writeFileSync(at(`${name}.jsonl`), lines(rows.slice(0, 8)));
    writeFileSync(at(`${name}-val.jsonl`), lines(rows.slice(8)));
  }
});

async function trained(kind: string, rows: string, out: string, ...flags: string[]) {
  const data = ["-m", "model", "-d", `${rows}.jsonl`, "--val", `${rows}-val.jsonl`];
  const how = ["--iters", "4", "--batch", "4", "--samples", "0", "--lr", "1e-3", "--warmup", "0"];
  const { code, out: text, err } = await whet(
    ["train", kind, ...data, ...how, "--save-every", "2", ...flags, "-o", out, "--json"],
    folder,
  );
  expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
  const events = text.trim().split("\n").map((line) => JSON.parse(line));
  const of = (event: string) => events.filter((e) => e.event === event);
  return { steps: of("step"), evals: of("eval"), sha256: of("end")[0].sha256 as string };
}

const kinds = [
  ["orpo", "pairs", ["log_odds_chosen", "log_odds_ratio", "nll_loss", "rewards/accuracies"]],
  ["simpo", "pairs", ["rewards/margins", "logps/rejected"]],
  ["kto", "answers", ["kl", "rewards/chosen", "logps/rejected"]],
] as const;
for (const [kind, rows, measures] of kinds) {
  test(`${kind}: learns, resumes and repeats to the same bytes`, async () => {
    const { steps, evals, sha256 } = await trained(kind, rows, kind);
    expect(evals.at(-1).val_loss).toBeLessThan(evals[0].val_loss);
    expect(evals.at(-1)["rewards/margins"]).toBeGreaterThan(evals[0]["rewards/margins"]);
    for (const name of [...measures, "logits/chosen", "logits/rejected"]) {
      expect(Number.isFinite(steps[0][name])).toBe(true);
    }
    expect(steps[0]).not.toHaveProperty("undefined");
    const { manifest } = readRun(at(kind));
    expect(manifest.kind).toBe(kind);
    expect(readFileSync(at(`${kind}/README.md`), "utf8")).toContain(`whet train ${kind} --config`);

    const again = `${kind}-again`, checkpoint = "checkpoints/step-2";
    cpSync(at(`${kind}/${checkpoint}`), at(`${again}/${checkpoint}`), { recursive: true });
    expect((await trained(kind, rows, again, "--resume")).sha256).toBe(sha256);
    if (kind === "simpo") return; // recorded as ORPO is
    const repeated = await whet(
      ["train", "--config", `${kind}/run.json`, "-o", `${kind}-repeated`],
      folder,
    );
    expect({ code: repeated.code, err: repeated.code ? repeated.err : "" }).toEqual({
      code: 0,
      err: "",
    });
    expect(readRun(at(`${kind}-repeated`)).manifest.adapter!.sha256).toBe(sha256);
  });
}

test("all weights: compared with log-probabilities of the weights as they were", async () => {
  const { steps, sha256 } = await trained("dpo", "pairs", "full", "--full", "--lr", "1e-4");
  expect(steps[0].loss).toBeCloseTo(Math.log(2), 5);
  expect(steps.at(-1)["rewards/margins"]).toBeGreaterThan(0.1);
  expect(readRun(at("full")).manifest.settings.reference).toBe("cached");
  const again = "full-again";
  cpSync(at("full/checkpoints/step-2"), at(`${again}/checkpoints/step-2`), { recursive: true });
  const resumed = await trained("dpo", "pairs", again, "--full", "--lr", "1e-4", "--resume");
  expect(resumed.sha256).toBe(sha256);
});

test("what is refused", async () => {
  writeFileSync(
    at("bad.jsonl"),
    lines([answer(0), { ...answer(1), label: "yes" }, { ...answer(2), completion: "" }]),
  );
  const bad = await whet(["train", "kto", "-m", "model", "-d", "bad.jsonl", "-o", "no"], folder);
  expect(bad.code).toBe(3);
  expect(bad.err).toContain("line 2: label must be true for an answer that is wanted");
  expect(bad.err).toContain("line 3: nothing to train on: completion is empty");
  const cases: [string, string[], string][] = [
    ["kto", ["--batch", "1"], "of one row has no other row's answer"],
    ["kto", ["--full", "--reference", "adapter-off"], "adapter-off has no meaning with --full"],
    ["orpo", ["--reference", "cached"], "--reference"],
    ["simpo", ["--loss-type", "sigmoid"], "--loss-type"],
  ];
  for (const [kind, flags, told] of cases) {
    const rows = kind === "kto" ? "answers.jsonl" : "pairs.jsonl";
    const { code, err } = await whet(
      ["train", kind, "-m", "model", "-d", rows, "-o", "no", ...flags],
      folder,
    );
    expect({ code, told: err.includes(told) ? told : err }).toEqual({ code: 2, told });
  }
});
