// Evaluation on the command line: what is measured and written, what two models are compared by, what is refused.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readDataset } from "../../src/data/rows.ts";
import { chromium, Tab } from "../chromium.ts";
import { whet } from "./inside.ts";

setDefaultTimeout(300_000);
const folder = mkdtempSync(join(tmpdir(), "whet-eval-"));
const at = (name: string) => join(folder, name);
const read = (name: string) => readFileSync(at(name), "utf8");
const lines = (name: string) => read(name).trim().split("\n").map((line) => JSON.parse(line));
afterAll(() => rmSync(folder, { recursive: true }));

const command = (subcommand: string, args: object, confidence = 0.9) =>
  JSON.stringify({ type: "command", command: "bed", subcommand, args, flags: [], confidence });
const rows = [
  ["soak the north bed", command("soak", { bed: "north" }), "plain"],
  ["soak the pond bed", command("soak", { bed: "pond" }), "plain"],
  ["mulch this bed", command("mulch", { bed: "north" }, 0.8), "pointer"],
  [
    "do something",
    JSON.stringify({ type: "clarification", message: "What?", suggestions: [], confidence: 0.3 }),
    "unclear",
  ],
];

beforeAll(async () => {
  cpSync(join(import.meta.dir, "../../models/micro"), at("model"), { recursive: true });
  cpSync(join(import.meta.dir, "../../schemas/garden.yaml"), at("garden.yaml"));
  const file = (name: string, all: readonly object[]) =>
    writeFileSync(at(name), all.map((row) => JSON.stringify(row) + "\n").join(""));
  file(
    "test.jsonl",
    rows.map(([instruction, output, kind]) => (
      { instruction, context: null, output, metadata: { kind } }
    )),
  );
  file(
    "train.jsonl",
    [0, 1, 2, 3, 4, 5].map((i) => (
      { instruction: i === 0 ? rows[0]![0] : `soak bed ${i}`, context: null, output: rows[0]![1] }
    )),
  );
  file("adv.jsonl", [
    { id: "a", kind: "minimal", instruction: "bed", expect: { answer: "clarification" }, why: "" },
    {
      id: "b",
      kind: "contrast",
      instruction: "soak bed north",
      expect: { answer: "any", differs_from: "a" },
      why: "",
    },
  ]);
  file("other.jsonl", [{ line: 9, prompt: "x", expected: "y", predicted: "z" }]);
  writeFileSync(at("empty.jsonl"), "");
  writeFileSync(
    at("never.json"),
    '{"type":"object","properties":{"never":{"type":"null"}},"required":["never"]}',
  );
  const sft = ["train", "sft", "-m", "model", "-d", "train.jsonl", "-o", "run", "--iters", "1"];
  const ran = await whet([...sft, "--batch", "2", "--rank", "2", "--samples", "0"], folder);
  expect({ code: ran.code, err: ran.code ? ran.err : "" }).toEqual({ code: 0, err: "" });
});

const short = ["--max-tokens", "64"];
const evaluate = (...flags: string[]) =>
  whet(["eval", "-m", "model", "-d", "test.jsonl", ...short, ...flags], folder);

/** The one line that is no event. */
const resultOf = (out: string) =>
  out.trim().split("\n").map((line) => JSON.parse(line)).find(({ event }) => event === undefined);

test("everything at once: the result, its files, the gate", async () => {
  const ran = await evaluate(
    ...[
      "-a",
      "run",
      "--baseline",
      "--schema",
      "garden.yaml",
      "--adversarial",
      "adv.jsonl",
      "--json",
    ],
    ...["-o", "result.json", "--html", "page.html", "--predictions", "all.jsonl"],
    ...["--failures", "wrong.jsonl", "--fail-under", "exact=1,fields.flags=0"],
  );
  expect(ran.code).toBe(9);
  expect(ran.err).toMatch(/why: exact_match is \d(\.\d+)?, wanted 1: \d+ points short\n/);
  expect(ran.err).toContain("1 of 4 rows also in train.jsonl, on which run was trained");
  const result = resultOf(ran.out);
  expect(JSON.parse(read("result.json"))).toEqual(result);
  expect(result).toMatchObject({
    n: 4,
    fields: { type: expect.any(Number), args: expect.any(Number) },
    latency_ms: { p50: expect.any(Number), p95: expect.any(Number) },
    ece: expect.any(Number),
    schema_valid: expect.any(Number),
    routing: { names: ["execute", "confirm", "clarify", "ask"] },
    slices: { "metadata.kind": { plain: { n: 2 }, pointer: { n: 1 }, unclear: { n: 1 } } },
    adversarial: { n: 2, kinds: { minimal: { n: 1 }, contrast: { n: 1 } } },
    baseline: { n: 4, adversarial: { n: 2 } },
    comparison: { n: 4, verdict: expect.any(Array) },
  });
  expect(result.perplexity).toBeCloseTo(Math.exp(result.loss), 10);

  const all = lines("all.jsonl"), wrong = lines("wrong.jsonl");
  expect(all.map(({ prompt }) => prompt)).toEqual(rows.map(([instruction]) => instruction));
  expect(wrong).toHaveLength(all.filter(({ right }) => !right).length);
  expect(result.exact_match).toBe(1 - wrong.length / 4);
  expect(wrong[0].why[0]).toBeString();
  // As they are, they can be appended to what is trained.
  const { examples } = await readDataset(at("wrong.jsonl"));
  expect(examples).toHaveLength(wrong.length);
  expect(examples[0]).toMatchObject({
    messages: [{ role: "user" }, { content: all[wrong[0].line - 1].expected }],
  });

  const same = await whet(["eval", "ab", "all.jsonl", "all.jsonl", "--json"], folder);
  expect(resultOf(same.out)).toMatchObject({
    n: 4,
    wins: 0,
    ties: 4,
    p: 1,
    measures: { exact_match: { mean: 0 } },
  });
  const asked = await whet(
    ["eval", "ab", "all.jsonl", "run", "-d", "test.jsonl", "-m", "model", ...short, "--json"],
    folder,
  );
  // The same adapter, asked again, gives the same answers.
  expect(resultOf(asked.out)).toMatchObject({ n: 4, wins: 0, losses: 0, ties: 4 });
});

test.skipIf(!chromium)("the page: nothing fetched, no errors, and the filters filter", async () => {
  const tab = await Tab.open();
  try {
    await tab.goto(`file://${at("page.html")}`);
    const shown = () =>
      tab.evaluate<number>(
        "[...document.querySelectorAll('article')].filter(a => !a.hidden).length",
      );
    const set = (control: string, value: string) =>
      tab.evaluate(
        `{ const c = document.querySelector(${JSON.stringify(control)}); c.value = ${
          JSON.stringify(value)
        }; c.dispatchEvent(new Event("input")); }`,
      );
    expect(await shown()).toBe(6);
    expect(await tab.evaluate("document.querySelector('.filter').hidden")).toBe(false);
    await set(".filter input", "MULCH this");
    expect(await shown()).toBe(1);
    await set(".filter input", "");
    await set(".filter select:last-of-type", "metadata.kind plain");
    expect(await shown()).toBe(2);
    expect(tab.errors).toEqual([]);
    expect(tab.requests.filter((url) => !url.startsWith("file:"))).toEqual([]);
  } finally {
    await tab.close();
  }
});

test("--metrics ppl alone generates no answer", async () => {
  const { out } = await evaluate("--metrics", "ppl", "--json");
  expect(Object.keys(JSON.parse(out))).toEqual(["n", "perplexity", "loss"]);
});

describe.concurrent("what is refused", () => {
  test.each<[string[], number, string, string]>([
    [["--slice", "metadata.kid"], 2, '--slice: no row has "metadata.kid"', 'mean "metadata.kind"'],
    [["--fail-under", "exact=90"], 2, "shares are from 0 to 1", "exact=0.9"],
    [["--fail-under", "exat=.9"], 2, 'unknown measure "exat"', 'did you mean "exact"'],
    [["--schema", "never.json"], 3, "refuses the answers of all 4 rows themselves", "line 1"],
    [["--adversarial", "test.jsonl"], 3, "4 of 4 rows of test.jsonl cannot be used", "id must be"],
    [["-d", "empty.jsonl"], 3, "empty dataset", "holds no rows"],
    [["--baseline"], 2, "there is no adapter", "-a RUN"],
    [["--metrics", "bleu"], 2, "--metrics", "rouge"],
  ])("%j", async (flags, code, what, more) => {
    const ran = await evaluate(...flags, "--html", "never.html");
    expect({ code: ran.code, out: ran.out }).toEqual({ code, out: "" });
    expect(ran.err).toContain(what);
    expect(ran.err).toContain(more);
    expect(existsSync(at("never.html"))).toBe(false);
  });

  test.each<[string[], number, string]>([
    [["nothing", "run"], 2, "nothing is nothing that can be compared"],
    [["base", "run"], 2, "-m MODEL is needed"],
    [["run", "run"], 2, "-d FILE is needed"],
    [["other.jsonl", "test.jsonl"], 3, "4 of 4 rows of test.jsonl cannot be used"],
  ])("ab %j", async (sides, code, what) => {
    const ran = await whet(["eval", "ab", ...sides], folder);
    expect(ran.code).toBe(code);
    expect(ran.err).toContain(what);
  });
});
