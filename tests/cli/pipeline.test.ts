// Named trainings as a stranger runs them: from a schema to a measured GGUF file, and what is kept.
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "../../src/base/sha256.ts";
import { whet } from "./inside.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "whet pipeline "));
afterAll(() => rmSync(folder, { recursive: true }));
const project = (name: string) => {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  return path;
};

/** So few steps that nothing is learnt. */
const SHORT = `
train: { iters: 2, samples: 0, rank: 4 }
dpo: { iters: 1, samples: 0 }
eval: { limit: 2, max_tokens: 24 }
pipeline: { model: micro, num: 40, pairs: 3 }
`;

interface Told {
  readonly event?: string;
  readonly stage?: string;
  readonly status?: string;
  readonly stages?: readonly { stage: string; status: string; result: string; path: string }[];
}

/** Runs a pipeline and gives the events of its stages, and the table. */
async function pipeline(cwd: string, ...words: string[]) {
  const { code, out, err } = await whet(["pipeline", ...words, "--json"], cwd);
  const lines = out.trim().split("\n").filter(Boolean).map((line): Told => JSON.parse(line));
  const table = lines.find(({ stages }) => stages)?.stages ?? [];
  return {
    code,
    err,
    events: lines.filter(({ event }) => event === "stage")
      .map(({ stage, status }) => `${stage} ${status}`),
    table,
    status: Object.fromEntries(table.map(({ stage, status }) => [stage, status])),
  };
}

const STAGES = ["generate", "sft", "preferences", "dpo", "quantize", "eval"];

test("all stages, in the layout; afterwards everything is kept until it is forced", async () => {
  const cwd = project("garden");
  writeFileSync(join(cwd, "whet.yaml"), SHORT);
  const first = await pipeline(cwd, "name=garden", "quant=q8_0");
  expect(first.err).not.toContain("error");
  expect(first.code).toBe(0);
  expect(first.events).toEqual(STAGES.flatMap((stage) => [`${stage} begin`, `${stage} done`]));
  const files = [
    "schemas/garden.yaml",
    "training/data/garden/train.jsonl",
    "training/data/garden/train_val.jsonl",
    "training/data/garden/preferences.jsonl",
    "training/models/garden/sft/adapter_model.safetensors",
    "training/models/garden/dpo/adapter_model.safetensors",
    "training/models/garden/clitron-garden-q8_0.gguf",
    "training/models/garden/eval/q8_0.json",
  ];
  for (const file of files) expect(existsSync(join(cwd, file)), file).toBe(true);
  expect(existsSync(join(cwd, "training/data/garden/train_progress.jsonl"))).toBe(false);
  const lines = (file: string) => readFileSync(join(cwd, file), "utf8").trim().split("\n").length;
  expect([lines(files[1]!), lines(files[2]!), lines(files[3]!)]).toEqual([36, 4, 3]);
  expect(JSON.parse(readFileSync(join(cwd, files[7]!), "utf8")).n).toBe(2);
  const run = (kind: string) =>
    JSON.parse(readFileSync(join(cwd, `training/models/garden/${kind}/run.json`), "utf8"));
  expect(run("sft").settings).toMatchObject({ iters: 2, rank: 4, max_seq: 256 });
  // DPO goes on from the adapter of SFT, in its form, and is measured against it.
  expect(run("dpo").settings).toMatchObject({
    rank: 4,
    target: run("sft").settings.target,
    reference: "sft",
    init_adapter: join("training", "models", "garden", "sft"),
    beta: 0.1,
  });
  // Settings of the pipeline are none of the run's: --config run.json repeats it.
  expect(run("sft").settings.from).toBeUndefined();

  // What was asked for is remembered: neither num nor quant is said again.
  const bytes = sha256(readFileSync(join(cwd, files[6]!)));
  const second = await pipeline(cwd, "garden");
  expect([second.code, ...second.events]).toEqual([0, ...STAGES.map((stage) => `${stage} kept`)]);
  expect(second.err).toContain("is there already, made ");

  // One more row: what was trained on the others is told, and kept.
  appendFileSync(
    join(cwd, files[1]!),
    '{"instruction":"hello","context":null,"output":"{\\"type\\":\\"clarification\\"}"}\n',
  );
  const third = await pipeline(cwd, "garden");
  expect(third.status).toEqual({
    generate: "kept",
    sft: "stale",
    preferences: "stale",
    dpo: "kept",
    quantize: "kept",
    eval: "kept",
  });
  expect(third.err).toContain("sft was made from something else: rows: changed");
  expect(third.err).toContain("fix: whet pipeline garden --from sft --force");
  expect(sha256(readFileSync(join(cwd, files[6]!)))).toBe(bytes);

  const list = await whet(["pipeline", "ls", "--json"], cwd);
  const rows = list.out.trim().split("\n").map((line) => JSON.parse(line));
  expect(rows.map(({ name, schema }) => `${name} ${schema}`))
    .toEqual(["garden here", "gh shipped", "git shipped"]);
  expect(rows[0]).toMatchObject({ generate: "found", sft: "stale", dpo: "done", quant: "q8_0" });
  expect(rows[1]).toMatchObject({ generate: "-", sft: "-", eval: "-" });

  // What a gate found wanting is not finished: it is measured again, and found wanting again.
  const gate = ["garden", "--stage", "eval", "--set", "eval.fail_under=exact_match=1"];
  const refused = [await pipeline(cwd, ...gate, "--force"), await pipeline(cwd, ...gate)];
  expect(refused.map(({ code, events }) => [code, events])).toEqual([
    [9, ["eval begin"]],
    [9, ["eval begin"]],
  ]);

  // Forced: one stage alone, and its run before is put aside.
  const forced = await pipeline(cwd, "garden", "--stage", "dpo", "--force");
  expect([forced.code, ...forced.events]).toEqual([0, "dpo begin", "dpo done"]);
  expect(readdirSync(join(cwd, "training/models/garden"))).toContain("dpo.old-1");
});

test("rows of one's own are used; a model that answers them as it should needs no DPO", async () => {
  const cwd = project("own");
  mkdirSync(join(cwd, "schemas"));
  mkdirSync(join(cwd, "training/data/own"), { recursive: true });
  const schema = { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"] };
  writeFileSync(join(cwd, "schemas/own.json"), JSON.stringify(schema));
  const row = JSON.stringify({ instruction: "ping", context: null, output: '{"ok":true}' });
  const rows = `${row}\n`.repeat(8);
  writeFileSync(join(cwd, "training/data/own/train.jsonl"), rows);
  const { code, status, table, err } = await pipeline(
    cwd,
    "own",
    "model=micro",
    "--set",
    "train.iters=24",
    "train.samples=0",
    "train.lr=1e-2",
  );
  expect(err).not.toContain("error");
  expect([code, status]).toEqual([0, {
    generate: "kept",
    sft: "done",
    preferences: "left out",
    dpo: "left out",
    quantize: "done",
    eval: "left out",
  }]);
  expect(table.map(({ result }) => result).slice(2, 5)).toEqual([
    "no pairs: 1 of 1 answers are ideal",
    "there is nothing to prefer",
    expect.stringContaining("from sft"),
  ]);
  expect(readFileSync(join(cwd, "training/data/own/train.jsonl"), "utf8")).toBe(rows);
  // Nobody's rows are lost to --force.
  const forced = await pipeline(cwd, "own", "--stage", "generate", "--force");
  expect(forced.code).toBe(2); // requests cannot be made from a JSON Schema
  expect(readFileSync(join(cwd, "training/data/own/train.jsonl"), "utf8")).toBe(rows);
  expect((await pipeline(cwd, "own", "--stage", "generate")).status).toEqual({ generate: "kept" });
  expect(readFileSync(join(cwd, "training/data/own/train.jsonl.old-1"), "utf8")).toBe(rows);
});

describe.concurrent("what is wrong is said before anything is made", () => {
  const cases: [words: string[], err: string][] = [
    [["gh"], "the model meta-llama/Llama-3.2-1B-Instruct is not on this machine"],
    [["gh", "--from", "dpo", "--to", "sft"], "--from dpo comes after --to sft"],
    [["gh", "--stage", "sft", "model=micro"], "train.jsonl is not there yet"],
    [["gh", "--stage", "eval"], "clitron-gh-q4_k_m.gguf is not there yet"],
    [["nothing", "model=micro"], 'there is no schema "nothing"'],
    [["gh", "nmu=3"], "unknown flag --nmu"],
    [["gh", "num=many"], "--num: expected a number"],
    [["../gh"], "expected a name of letters, digits"],
    [["num=3"], "missing: NAME"],
  ];
  for (const [i, [words, told]] of cases.entries()) {
    test(words.join(" "), async () => {
      const cwd = project(`wrong ${i}`);
      const env = { HF_HOME: join(folder, "hub") };
      const { code, err } = await whet(["pipeline", ...words], cwd, { env });
      expect(err).toContain(told);
      expect(code).toBe(2);
      expect(existsSync(join(cwd, "training/data"))).toBe(false);
    });
  }
});
